"""A choice by an objective in words and figures: features read, terms in their units, what would flip it."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.recording.counterfactual import Flip, Place, flips, terms_of
from pilotage_extproc.scheduling.chooser import HELD_BY_LOOP
from pilotage_extproc.scheduling.objective_choice import Choice
from pilotage_extproc.scheduling.targets import GroupTargets

_MOST_SHOWN: Final = 60


def explain_choice(
    choice: Choice, targets: GroupTargets, order: Sequence[int], alive: NDArray[np.bool_]
) -> dict[str, Any]:
    """The choice as JSON-ready data; `order` are the candidates of its attempts, `alive` who could serve."""
    own, asked = choice.objective, choice.asked
    worth = choice.worth()
    keeps = np.broadcast_to(choice.keeps_bounds(), worth.shape)
    chosen = Place(choice.level, order[0])
    best = _best_of_ways(choice, worth, alive)
    offered = alive & keeps if choice.within_bounds else np.broadcast_to(alive, worth.shape)
    found = [] if choice.held == HELD_BY_LOOP else flips(choice, chosen, offered)
    shown = sorted({chosen, *best}, key=lambda place: -worth[place])[:_MOST_SHOWN]
    return {
        "weights": {
            "quality": _figure(own.quality_weight),
            "cost": _figure(own.cost_weight),
            "latency": _figure(own.latency_weight),
        },
        "references": {"usd": own.usd, "seconds": own.seconds},
        "features": {
            "promptTokens": round(asked.prompt_tokens),
            "outputLimit": asked.limit,
            "answers": asked.answers,
            "plain": asked.plain,
            "domain": asked.domain,
            "strongGain": None
            if asked.gain is None
            else {"value": _figure(asked.gain.value), "confidence": _figure(asked.gain.confidence)},
            "lastModel": None if asked.last_tier is None else own.models[asked.last_tier],
        },
        "outputBudget": choice.budget,
        "enforce": None if own.budget is None or choice.budget is None else own.budget.enforce,
        "attempts": [
            {
                "model": targets[candidate].upstream_model,
                "address": targets[candidate].address,
                "outputBudget": choice.budget_at(candidate),
            }
            for candidate in order
        ],
        "held": choice.held or None,
        "withinBounds": choice.within_bounds,
        "candidates": [_candidate(choice, targets, place, worth, keeps, place == chosen) for place in shown],
        "counterfactual": None if not found else _flip(choice, targets, found[0]),
        "counterfactuals": [_flip(choice, targets, one) for one in found],
    }


def _best_of_ways(choice: Choice, worth: NDArray[np.float64], alive: NDArray[np.bool_]) -> list[Place]:
    """The best server of each way with each budget that it is offered."""
    found = []
    for members in choice.objective.members:
        for level in range(len(choice.budgets)):
            of_way = np.where(alive[members], worth[level, members], -np.inf)
            if len(of_way) and np.isfinite(of_way.max()):
                found.append(Place(level, members.start + int(of_way.argmax())))
    return found


def _candidate(
    choice: Choice,
    targets: GroupTargets,
    place: Place,
    worth: NDArray[np.float64],
    keeps: NDArray[np.bool_],
    chosen: bool,
) -> dict[str, Any]:
    target, own = targets[place.candidate], choice.objective
    way = int(own.way_of[place.candidate])
    terms = terms_of(choice, float(worth[place]), place)
    timed = bool(choice.timed[0, way])
    return {
        "chosen": chosen,
        "address": target.address,
        "pool": target.pool,
        "model": target.upstream_model,
        "outputBudget": choice.budgets[place.level],
        "quality": _figure(terms.quality),
        "qualityKnown": own.ways[way].quality is not None,
        "usd": _figure(terms.usd),
        "priced": bool(choice.priced[way]),
        "outputTokens": _figure(float(choice.tokens[place.level, way])),
        "seconds": _figure(terms.seconds),
        "ttftSeconds": _figure(float(choice.ttft[place.candidate])) if timed else None,
        "tpotSeconds": _figure(float(choice.tpot[place.candidate])) if choice.timed[1, way] else None,
        "ttftAtQuantile": _figure(float(choice.ttft[place.candidate] * choice.factors[0, way]))
        if timed
        else None,
        "learnedFrom": choice.learned_from[way],
        "byQueueAlone": choice.by_queue[way],
        "worth": _figure(terms.worth),
        "keepsBounds": bool(keeps[place]),
    }


def _flip(choice: Choice, targets: GroupTargets, flip: Flip) -> dict[str, Any]:
    target = targets[flip.other.candidate]
    return {
        "change": flip.what,
        "of": flip.of or None,
        "from": _figure(flip.before),
        "to": _figure(flip.after),
        "unit": flip.unit,
        "size": _figure(flip.size),
        "chooses": {
            "model": target.upstream_model,
            "address": target.address,
            "outputBudget": choice.budgets[flip.other.level],
        },
    }


def _figure(value: float) -> float | None:
    """Six significant digits: dollars of one request are small."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
