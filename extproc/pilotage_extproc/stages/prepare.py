"""What changes in a request for its first attempt, and again for each later one."""

import orjson

from pilotage_api.snapshot import StreamUsage
from pilotage_extproc.dialects.splice import MODEL, Edit, check_single, edited, string_set
from pilotage_extproc.dialects.stream_usage import (
    STREAM_USAGE_KINDS,
    UsageEdit,
    usage_asked,
    usage_unasked,
)
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.request.attempt import Attempt
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step


class Prepare(Step):
    """Splices the first attempt's model name into the body, and asks its stream for usage."""

    name = "prepare"

    def apply(self, exchange: Exchange) -> None:
        """Edit the body. Raises RequestRefused (400) where a member to change stands more than once."""
        document, body = exchange.document, exchange.body
        attempts = _attempts(exchange)
        first = attempts[0]
        edits: list[Edit] = []
        if first.upstream_model == document.model:
            check_single(body, MODEL)
        else:
            edits.append(string_set(body, MODEL, first.upstream_model))
        how = UsageEdit.NONE
        if document.stream:
            kind = exchange.call.kind
            asked, how = usage_asked(body, kind, document.members, first.engine, first.stream_usage)
            edits += asked
        differ = len(attempts) > 1 and len(set(attempts)) > 1
        exchange.prepared(edited(body, edits) if edits else None, how, attempts if differ else ())


def _attempts(exchange: Exchange) -> tuple[Attempt, ...]:
    """One for each target; a single one where all are alike."""
    pools, targets = exchange.route.pools, exchange.decision.targets
    if exchange.route.candidates.one_way:
        targets = targets[:1]
    return tuple([Attempt.at(pools[target.pool], target.upstream_model) for target in targets])


def later_attempt(body: bytes, kind: CallKind, how: UsageEdit, attempt: Attempt) -> bytes | None:
    """The body of a later attempt, made of the first one's; None where nothing changes.

    Raises RequestRefused or KeyError where it is not one that `Prepare` has seen.
    """
    changed = body
    undone = usage_unasked(body, how) if how else None
    if undone is not None:
        changed = edited(body, [undone])
    edits = [string_set(changed, MODEL, attempt.upstream_model)]
    if kind in STREAM_USAGE_KINDS and attempt.stream_usage is StreamUsage.INJECT and b'"stream"' in changed:
        members = orjson.loads(changed)
        edits += usage_asked(changed, kind, members, attempt.engine, attempt.stream_usage)[0]
    changed = edited(changed, edits)
    return None if changed == body else changed
