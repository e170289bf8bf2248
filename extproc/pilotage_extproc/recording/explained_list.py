"""A decision's attempts as an explanation shows them: the shape of each, and what it came to."""

from typing import Any

from pilotage_extproc.dialects.provider_call import SPOKEN
from pilotage_extproc.dialects.translation.translator import TRANSLATED_TO
from pilotage_extproc.domain.decision import Target
from pilotage_extproc.recording.record import DecisionRecord


def explained_list(record: DecisionRecord) -> list[dict[str, Any]]:
    """One for each attempt, best first.

    `result` is `served`, `failed`, or None where it was not made or is not known yet.
    """
    shapes = record.shapes or (None,) * len(record.order)
    return [
        {
            "address": target.address,
            "pool": target.pool,
            "model": target.upstream_model,
            "transform": None if shape is None else {"name": shape[0], "changed": list(shape[1])},
            "translatedTo": _translated_to(record, target),
            "result": _result(record, target.address),
        }
        for target, shape in zip(record.targets(), shapes, strict=True)
    ]


def _translated_to(record: DecisionRecord, target: Target) -> str | None:
    """The call that a provider gets instead of the client's own; None where it is the client's."""
    pool = record.route.pools.get(target.pool)
    if pool is None or pool.external is None or record.kind in SPOKEN[pool.external.dialect]:
        return None
    return TRANSLATED_TO[pool.external.dialect].value


def _result(record: DecisionRecord, address: str) -> str | None:
    if any(one.address == address for one in record.failed):
        return "failed"
    outcome = record.outcome
    if outcome is None or outcome.given_up or outcome.upstream_address != address:
        return None
    return "served" if outcome.status < 400 else "failed"
