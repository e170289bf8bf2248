"""The pick of a decided exchange, for the bundled Envoy and for other gateways: one writer makes both."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pilotage_extproc.dialects.stream_usage import AddedUsage
from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.envoy.contract import (
    ANNOUNCE_RESPONSE,
    ANTHROPIC_ERRORS,
    CONTRACT,
    COUNT_OUTPUT,
    KEEP_LAST_USAGE,
    READS_ANSWER,
    STRIP_USAGE,
    TRANSFORM,
)
from pilotage_extproc.envoy.ext_proc.messages import further_inputs
from pilotage_extproc.envoy.ext_proc.pick_writer import LaterAttempts, Pick, PickWriter
from pilotage_extproc.envoy.ext_proc.retry_headers import router_limits
from pilotage_extproc.request.attempt import Attempt
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.limits import USUAL
from pilotage_extproc.request.token_bounds import MOST_COST
from pilotage_extproc.stages.prepare import MOVED

_ENDED_BY_ENVOY: Final = frozenset(
    {CallKind.CHAT, CallKind.COMPLETIONS, CallKind.MESSAGES, CallKind.RESPONSES}
)
_ANTHROPIC: Final = frozenset({CallKind.MESSAGES, CallKind.COUNT_TOKENS})
_SLACK_TOKENS: Final = 8
"""Beside a sixteenth: pieces are not quite tokens, and an answer that keeps its limit is not to be cut."""


class Picks:
    """Writes what an exchange's decision means to the gateway that asked."""

    def __init__(
        self,
        process_id: str,
        number_of: Callable[[str, Attempt], int],
        older_about: Callable[[], bool] = lambda: False,
        clock: Clock = monotonic,
        stripped: Sequence[str] = (),
    ) -> None:
        """`number_of` gives an attempt's number in a version of the snapshot.

        `stripped` are request headers to strip beside those that always are.
        `older_about` says whether processes of the version before may be asked for a later attempt.
        """
        self._writer = PickWriter(process_id, stripped)
        self._number_of = number_of
        self._older_about = older_about
        self._clock = clock

    def bundled(self, exchange: Exchange, shown: Mapping[str, str], *, on_body: bool, contract: str) -> bytes:
        """The answer to a bundled Envoy; `shown` are response headers that show the decision."""
        decision, call, limits = exchange.decision, exchange.call, exchange.limits
        destination = ",".join([target.address for target in decision.targets])
        attempts, path, flags = len(decision.targets), call.path_to_send(), _flags(exchange)
        allowance = _allowance(exchange) if exchange.document.stream else ""
        if (
            exchange.new_body is None
            and path is None
            and limits is USUAL
            and call.kind is not CallKind.RESPONSES
            and not (shown or allowance or exchange.attempts)
        ):
            return self._writer.usual_bundled(destination, attempts, decision.id, flags, on_body=on_body)
        pick = Pick(
            destination,
            attempts,
            decision.id,
            exchange.new_body,
            path,
            shown,
            flags=flags,
            holder=exchange.identity.holder() if call.kind is CallKind.RESPONSES else "",
            allowance=allowance,
            moved=exchange.kept(MOVED) or "",
            later=self._later(exchange, contract) if exchange.attempts else None,
            limits=None if limits is USUAL else router_limits(limits, self._clock(), attempts),
        )
        return self._writer.bundled(pick, on_body=on_body)

    def foreign(
        self, exchange: Exchange, *, on_body: bool, sends_body: bool, request_id: str | None
    ) -> bytes:
        """The answer to another gateway; without `sends_body` the body follows in messages of its own.

        It sends one body to all it tries, so only places that take the first attempt's are named.
        """
        addresses = [target.address for target in exchange.decision.targets]
        if attempts := exchange.attempts:
            addresses = [
                address
                for address, attempt in zip(addresses, attempts, strict=True)
                if attempt.takes_body_of(attempts[0])
            ]
        destination, path = ",".join(addresses), exchange.call.path_to_send()
        further = further_inputs(exchange.head.headers)
        if exchange.new_body is None and path is None and request_id is None and not further:
            return self._writer.usual_foreign(destination, on_body=on_body)
        pick = Pick(
            destination,
            len(addresses),
            exchange.decision.id,
            exchange.new_body,
            path,
            request_id=request_id,
            remove_headers=further,
        )
        return self._writer.foreign(pick, on_body=on_body, sends_body=sends_body)

    def _later(self, exchange: Exchange, contract: str) -> LaterAttempts:
        version, targets = exchange.decision.snapshot_version, exchange.decision.targets
        numbers: dict[str, int] = {}
        models: dict[str, str] = {}
        older, last, number = contract != CONTRACT or self._older_about(), None, 0
        for target, attempt in zip(targets, exchange.attempts, strict=True):
            if attempt is not last:  # endpoints of one pool share an attempt
                last, number = attempt, self._number_of(version, attempt)
            numbers[target.address] = number
            if older:
                models[target.address] = attempt.upstream_model
        return LaterAttempts(version, int(exchange.usage_edit), numbers, models)


def _flags(exchange: Exchange) -> tuple[str, ...]:
    """What Envoy has to do with the response, as keys of the pick's metadata."""
    flags: tuple[str, ...] = ()
    kind, document = exchange.call.kind, exchange.document
    if exchange.usage_added is AddedUsage.ALL:
        flags = (STRIP_USAGE,)
    elif exchange.usage_added is AddedUsage.BEFORE_LAST:
        flags = (STRIP_USAGE, KEEP_LAST_USAGE)
    elif kind is CallKind.RESPONSES and document.stream and document.members.get("background") is True:
        flags = (ANNOUNCE_RESPONSE,)
    if exchange.transformed_each:
        flags = (*flags, TRANSFORM)
    if kind is CallKind.RESPONSES and exchange.answer is not None:
        flags = (*flags, READS_ANSWER)
    if exchange.output_counted:
        flags = (*flags, COUNT_OUTPUT)
    if kind in _ANTHROPIC:
        flags = (*flags, ANTHROPIC_ERRORS)
    return flags


def _allowance(exchange: Exchange) -> str:
    """What Envoy lets a stream of a hard budget say, where it is to end it."""
    most = exchange.kept(MOST_COST)
    if most is None or exchange.call.kind not in _ENDED_BY_ENVOY:
        return ""
    tokens = most.output_tokens * most.choices
    return f"{exchange.call.kind} {most.choices} {tokens + tokens // 16 + _SLACK_TOKENS}"
