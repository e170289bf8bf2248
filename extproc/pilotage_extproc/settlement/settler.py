"""Settles each finished request once: here if this process decided it, else at its owner.

An access-log stream belongs to an Envoy worker while ext_proc streams are balanced one by one, so
with several processes an entry often reaches one that did not make the decision.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from pilotage_extproc.domain.outcome import Outcome, Settled
from pilotage_extproc.telemetry.metrics import Telemetry

log = logging.getLogger(__name__)


class Deliveries(Protocol):
    """The other processes behind the same Envoy."""

    def deliver(self, owner: str, outcome: Outcome) -> bool:
        """Hand an outcome to the process that owns it; False when no such process is known."""

    def propagate(self, outcome: Outcome) -> None:
        """Send to all which server holds a stored response."""


class Settler:
    """Takes outcomes from the access log, from ext_proc streams and from peers."""

    def __init__(
        self,
        process_id: str,
        *,
        settle: Callable[[Outcome], Settled],
        learn: Callable[[Outcome], None],
        peers: Deliveries,
        telemetry: Telemetry,
        adopt: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        """`adopt` takes outcomes of requests that no process there is has open: theirs may be gone."""
        self._adopt = adopt
        self._process_id = process_id
        self._settle = settle
        self._learn = learn
        self._peers = peers
        self._telemetry = telemetry
        self._ttft_seconds = telemetry.ttft_seconds.series()

    def log_entry(self, outcome: Outcome, owner: str) -> None:
        """An entry of an Envoy's access log, owned by this process, another, or none."""
        if not outcome.decision_id:
            self._telemetry.settlements.add("undecided")
            return
        if outcome.response_id is not None:
            self._learn(outcome)
            self._peers.propagate(outcome)
        if owner == self._process_id:
            self.settle(outcome)
        elif self._peers.deliver(owner, outcome):
            self._telemetry.settlements.add("delivered")
        else:
            self._telemetry.settlements.add("unowned")
            self._adopt(outcome)

    def stream_end(self, outcome: Outcome) -> None:
        """The end of an ext_proc stream that showed its response; its decision is this process's."""
        if outcome.response_id is not None:
            self._learn(outcome)
            self._peers.propagate(outcome)
        self.settle(outcome)

    def response_began(self, response_id: str, address: str, holder: str = "") -> None:
        """A stored response is being made at an endpoint: calls on it can be routed from now on."""
        began = Outcome(
            decision_id="",
            http_status=200,
            upstream_address=address,
            attempts=1,
            duration_seconds=None,
            ttft_seconds=None,
            response_id=response_id,
            holder=holder or None,
        )
        self._learn(began)
        self._peers.propagate(began)

    def conversation_placed(self, conversation: int, model: str) -> None:
        """A conversation is with another model than before: peers get its next requests."""
        placed = replace(Outcome.answered(200), conversation=conversation, upstream_model=model)
        self._peers.propagate(placed)

    def settle(self, outcome: Outcome) -> None:
        """Settle a request this process decided."""
        settled = self._settle(outcome)
        telemetry = self._telemetry
        if not settled.known:
            telemetry.settlements.add("duplicate")
            self._adopt(outcome)
            return
        telemetry.settlements.add("settled")
        telemetry.served.add(settled.against)
        result = outcome.result
        telemetry.settled.add(result)
        if outcome.ttft_seconds is not None:
            self._ttft_seconds.observe(outcome.ttft_seconds)
        self._count_tokens(outcome, result)
        if result in ("server_error", "truncated") or settled.against == "other":
            log.warning(
                "request ended badly",
                extra={
                    "decision": outcome.decision_id,
                    "result": result,
                    "status": outcome.status,
                    "upstream": outcome.upstream_address,
                    "against_pick": settled.against,
                    "attempts": outcome.attempts,
                    "flags": list(outcome.response_flags),
                },
            )
        elif log.isEnabledFor(logging.DEBUG):
            log.debug(
                "request settled",
                extra={
                    "decision": outcome.decision_id,
                    "status": outcome.http_status,
                    "upstream": outcome.upstream_address,
                    "ttft_seconds": outcome.ttft_seconds,
                    "duration_seconds": outcome.duration_seconds,
                },
            )

    def _count_tokens(self, outcome: Outcome, result: str) -> None:
        usage, tokens = outcome.usage, self._telemetry.tokens
        if usage.input_tokens is not None:
            tokens.add("input", by=usage.input_tokens)
        if usage.output_tokens is not None:
            tokens.add("output", by=usage.output_tokens)
        if usage.cached_input_tokens is not None:
            tokens.add("cached_input", by=usage.cached_input_tokens)
        if result == "ok" and usage.input_tokens is None and usage.output_tokens is None:
            self._telemetry.usage_unknown.add()
