"""A decision in words and figures: candidates, terms in their units, what was dropped, the margin."""

import datetime as dt
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.recording.choice_explanation import explain_choice
from pilotage_extproc.recording.explained_list import explained_list
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.limits import attempt_share
from pilotage_extproc.scheduling.chooser import OUT_OF_BOUNDS
from pilotage_extproc.scheduling.pickers import NEAR_TIE
from pilotage_extproc.scheduling.scheduler import worst_for_unknown

_MAX_CANDIDATES = 100
"""Candidates listed, best first; the rest are counted."""


def explain(record: DecisionRecord, process_id: str) -> dict[str, Any]:
    """One decision as JSON-ready data. Holds no prompt text."""
    route = record.route
    profile = route.profile
    shares = _shares(record)
    return {
        "decision": record.id,
        "process": process_id,
        "decidedAt": dt.datetime.fromtimestamp(record.decided_at_utc, dt.UTC).isoformat(
            timespec="milliseconds"
        ),
        "snapshot": record.snapshot_version,
        "request": {
            "kind": record.kind.value,
            "path": record.path,
            "model": record.model,
            "stream": record.stream,
            "bodyBytes": record.body_bytes,
            "subset": None if record.subset is None else record.subset.split(","),
            "promptTokens": round(record.prompt_tokens) if record.prompt_tokens else None,
        },
        "queuedSeconds": _figure(record.queued_seconds),
        "policy": route.policy,
        "rule": route.rule,
        "rulesTried": [
            {"policy": trial.policy, "rule": trial.rule, "holds": trial.holds, "reason": trial.reason or None}
            for trial in record.trials
        ],
        "promptFeatures": {
            name: list(value) if isinstance(value, tuple) else _rounded(value)
            for name, value in record.prompt_features
        },
        "content": [
            {"detector": one.detector, "action": one.action, "count": one.times, "at": list(one.at)}
            for one in record.handled
        ],
        "attempts": explained_list(record),
        "passedOver": [
            {"model": route.models[one.tier], "reason": one.reason, "leftOut": one.left_out}
            for one in record.passed_over
        ],
        "limits": _limits(record),
        "scorers": [
            {
                "name": weighted.scorer.name,
                "unit": weighted.scorer.unit,
                "weight": weighted.weight,
                "share": round(share or 0.0, 4),
                "half": weighted.scorer.half,
                "skipped": share is None,
            }
            for weighted, share in zip(profile.scorers, shares, strict=True)
        ],
        "skipped": list(record.skipped),
        "choice": _choice(record),
        "candidates": _candidates(record),
        "candidateCount": len(route.candidates),
        "cachedTokens": round(record.cached_tokens) if record.prompt_tokens else None,
        "runnerUp": _runner_up(record),
        "failedAttempts": [_failed(one) for one in sorted(record.failed, key=lambda one: one.number)],
        "outcome": _outcome(record),
        "givenUp": record.outcome is not None and record.outcome.given_up,
    }


def _limits(record: DecisionRecord) -> dict[str, Any]:
    """Which failures lead to the next attempt (None is the usual ones), and how long it may take."""
    limits = record.limits
    left = None if limits.deadline is None else limits.deadline - record.decided_at
    return {
        "leadsOn": None if limits.leads_on is None else sorted(limits.leads_on),
        "firstTokenSeconds": limits.first_token_seconds,
        "attemptSeconds": _figure(attempt_share(limits, record.decided_at, len(record.order))),
        "idleSeconds": limits.idle_seconds,
        "leftSeconds": _figure(left),
    }


def _choice(record: DecisionRecord) -> dict[str, Any] | None:
    choice, targets = record.choice, record.route.candidates.targets
    if choice is None:
        return None
    alive = np.ones(len(targets), np.bool_)
    for reason, mask in record.dropped().items():
        if reason != OUT_OF_BOUNDS:
            alive &= ~mask
    return explain_choice(choice, targets, record.order, alive)


def _shares(record: DecisionRecord) -> list[float | None]:
    """Each scorer's part of the score in this decision; None where it was skipped."""
    profile = record.route.profile
    named = {step.partition(":")[0] for step in record.skipped}
    counted = [
        weighted.scorer.name not in named or not np.isnan(record.terms[row]).all()
        for row, weighted in enumerate(profile.scorers)
    ]
    together = float(profile.weights[counted].sum()) or 1.0
    return [
        float(weight) / together if counts else None
        for weight, counts in zip(profile.weights[:, 0], counted, strict=True)
    ]


def _points(record: DecisionRecord) -> list[NDArray[np.float64] | None]:
    """By scorer: what each candidate's measure brought it. They add up to its score."""
    measures, halves = worst_for_unknown(record.terms), record.route.profile.halves
    return [
        None if share is None else share * half / (half + measures[row])
        for row, (share, half) in enumerate(zip(_shares(record), halves[:, 0], strict=True))
    ]


def _candidates(record: DecisionRecord) -> list[dict[str, Any]]:
    total, terms, profile = record.total, record.terms, record.route.profile
    names = [weighted.scorer.name for weighted in profile.scorers]
    points = dict(zip(names, _points(record), strict=True))
    dropped, candidates = record.dropped(), record.route.candidates
    order = {index: position for position, index in enumerate(record.order)}
    rest = sorted(
        (index for index in range(len(candidates)) if index not in order),
        key=lambda index: -float(total[index]),
    )
    shown = []
    for index in [*order, *rest][:_MAX_CANDIDATES]:
        target = candidates.targets[index]
        age = record.decided_at - float(record.scraped_at[index])
        shown.append(
            {
                "address": target.address,
                "pool": target.pool,
                "model": target.upstream_model,
                "tier": int(candidates.tiers[index]),
                "attempt": order[index] + 1 if index in order else None,
                "score": round(float(total[index]), 4),
                "terms": {name: _figure(float(terms[row, index])) for row, name in enumerate(names)},
                "points": {
                    name: None if column is None else _figure(float(column[index]))
                    for name, column in points.items()
                },
                "metricsAgeSeconds": None if math.isinf(age) else round(age, 3),
                "dropped": [reason for reason, mask in dropped.items() if mask[index]],
            }
        )
    return shown


def _runner_up(record: DecisionRecord) -> dict[str, Any] | None:
    """The best candidate of the same tier that was not the pick, and by how much it lost.

    Of several that are as good, the one to be tried next. Pickers by chance may pick one that scores
    less than it: the margin is below 0 then.
    """
    total = record.total
    candidates, pick = record.route.candidates, record.order[0]
    open_ = (candidates.tiers == candidates.tiers[pick]) & (candidates.rows != candidates.rows[pick])
    for mask in record.dropped().values():
        open_ &= ~mask
    if not open_.any():
        return None
    best = int(np.where(open_, total, -np.inf).argmax())
    for second in record.order[1:2]:
        if open_[second] and total[best] - total[second] < NEAR_TIE:
            best = second
    margin = float(total[pick] - total[best])
    return {
        "address": candidates.targets[best].address,
        "margin": round(margin, 4),
        "tie": abs(margin) < NEAR_TIE,
    }


def _outcome(record: DecisionRecord) -> dict[str, Any] | None:
    outcome = record.outcome
    if outcome is None or outcome.given_up:
        return None
    usage = outcome.usage
    return {
        "status": outcome.http_status,
        "servedBy": outcome.upstream_address,
        "attempts": outcome.attempts,
        "ttftSeconds": _figure(outcome.ttft_seconds),
        "durationSeconds": _figure(outcome.duration_seconds),
        "flags": list(outcome.response_flags),
        "streamError": outcome.stream_error,
        "endedAtAllowance": outcome.ended_at,
        "translation": list(outcome.translation),
        "content": [
            {"detector": detector, "action": action, "count": int(count)}
            for detector, action, count in (one.split(":") for one in outcome.answer_content)
        ],
        "usage": {
            "inputTokens": usage.input_tokens,
            "cachedInputTokens": usage.cached_input_tokens,
            "cacheWriteInputTokens": usage.cache_write_input_tokens,
            "cacheWriteHourInputTokens": usage.cache_write_hour_input_tokens,
            "audioInputTokens": usage.audio_input_tokens,
            "audioOutputTokens": usage.audio_output_tokens,
            "outputTokens": usage.output_tokens,
            "reasoningTokens": usage.reasoning_tokens,
        },
    }


def _failed(attempt: FailedAttempt) -> dict[str, Any]:
    return {
        "attempt": attempt.number or None,
        "address": attempt.address,
        "reason": attempt.reason,
        "status": attempt.http_status or None,
        "flags": list(attempt.flags),
        "durationSeconds": _figure(attempt.duration_seconds),
        "stayAwaySeconds": _figure(attempt.stay_away_seconds),
    }


def _rounded(value: object) -> object:
    return _figure(value) if isinstance(value, float) else value


def _figure(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)
