"""A decision in words and figures: candidates, terms in their units, what was dropped, the margin."""

import datetime as dt
import math
from typing import Any

from pilotage_extproc.pipeline.record import DecisionRecord
from pilotage_extproc.scheduling.contract import Weighted
from pilotage_extproc.scheduling.scheduler import NEAR_TIE

_MAX_CANDIDATES = 100
"""Candidates listed, best first; the rest are counted."""


def explain(record: DecisionRecord, scorers: tuple[Weighted, ...], process_id: str) -> dict[str, Any]:
    """One decision as JSON-ready data. Holds no prompt text."""
    decision, ranking, route = record.decision, record.ranking, record.route
    return {
        "decision": decision.id,
        "process": process_id,
        "decidedAt": dt.datetime.fromtimestamp(record.decided_at_utc, dt.UTC).isoformat(
            timespec="milliseconds"
        ),
        "snapshot": decision.snapshot_version,
        "request": {
            "kind": record.kind.value,
            "path": record.path,
            "model": decision.model,
            "stream": record.stream,
            "bodyBytes": record.body_bytes,
            "subset": None if record.subset is None else list(record.subset),
        },
        "policy": decision.policy,
        "rule": decision.rule,
        "attempts": [
            {"address": target.address, "pool": target.pool, "model": target.upstream_model}
            for target in decision.targets
        ],
        "scorers": [
            {
                "name": weighted.scorer.name,
                "unit": weighted.scorer.unit,
                "weight": weighted.weight,
                "half": weighted.scorer.half,
                "skipped": weighted.scorer.name in ranking.skipped,
            }
            for weighted in scorers
        ],
        "candidates": _candidates(record),
        "candidateCount": len(route.candidates),
        "runnerUp": _runner_up(record),
        "outcome": _outcome(record),
    }


def _candidates(record: DecisionRecord) -> list[dict[str, Any]]:
    ranking, candidates = record.ranking, record.route.candidates
    order = {index: position for position, index in enumerate(ranking.order)}
    rest = sorted(
        (index for index in range(len(candidates)) if index not in order),
        key=lambda index: -float(ranking.total[index]),
    )
    return [_candidate(record, index, order.get(index)) for index in [*order, *rest][:_MAX_CANDIDATES]]


def _candidate(record: DecisionRecord, index: int, position: int | None) -> dict[str, Any]:
    ranking, candidates = record.ranking, record.route.candidates
    offer = candidates.offers[index]
    age = float(ranking.scrape_age_seconds[index])
    return {
        "address": candidates.addresses[index],
        "pool": offer.pool,
        "model": offer.upstream_model,
        "tier": int(candidates.tiers[index]),
        "attempt": None if position is None else position + 1,
        "score": round(float(ranking.total[index]), 4),
        "terms": {name: _figure(float(column[index])) for name, column in ranking.terms.items()},
        "metricsAgeSeconds": None if math.isinf(age) else round(age, 3),
        "dropped": [reason for reason, mask in ranking.dropped.items() if mask[index]],
    }


def _runner_up(record: DecisionRecord) -> dict[str, Any] | None:
    """The best candidate that was not the pick, and by how much it lost."""
    ranking, candidates = record.ranking, record.route.candidates
    pick = ranking.order[0]
    best: int | None = None
    for index in range(len(candidates)):
        dropped = any(mask[index] for mask in ranking.dropped.values())
        same = candidates.rows[index] == candidates.rows[pick]
        other_tier = candidates.tiers[index] != candidates.tiers[pick]
        if dropped or same or other_tier:
            continue
        if best is None or ranking.total[index] > ranking.total[best]:
            best = index
    if best is None:
        return None
    margin = float(ranking.total[pick] - ranking.total[best])
    return {
        "address": candidates.addresses[best],
        "margin": round(margin, 4),
        "tie": abs(margin) < NEAR_TIE,
    }


def _outcome(record: DecisionRecord) -> dict[str, Any] | None:
    outcome = record.outcome
    if outcome is None:
        return None
    usage = outcome.usage
    return {
        "status": outcome.http_status,
        "servedBy": outcome.upstream_address,
        "attempts": outcome.attempts,
        "ttftSeconds": _figure(outcome.ttft_seconds),
        "durationSeconds": _figure(outcome.duration_seconds),
        "flags": list(outcome.response_flags),
        "usage": {
            "inputTokens": usage.input_tokens,
            "cachedInputTokens": usage.cached_input_tokens,
            "outputTokens": usage.output_tokens,
        },
    }


def _figure(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 4)
