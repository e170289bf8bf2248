"""Paired bootstrap intervals: the same resampled prompts for every router (Efron, 1979)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage_cli.evaluation.answers import Answers
from pilotage_cli.evaluation.metrics import order_of
from pilotage_cli.evaluation.protocol import INTERVAL, RESAMPLES, SEED

Column = NDArray[np.float64]


@dataclass(slots=True, frozen=True)
class Interval:
    """An estimate and where its resampled values lie."""

    value: float
    low: float
    high: float


def resampled(
    count: int, figure: Callable[[Column], float], resamples: int = RESAMPLES, seed: int = SEED
) -> Interval:
    """A figure of how often each of `count` prompts counts, with its interval."""
    dice = np.random.default_rng(seed)
    value = figure(np.ones(count))
    drawn = [
        figure(np.bincount(dice.integers(0, count, count), minlength=count).astype(np.float64))
        for _ in range(resamples)
    ]
    edge = (1 - INTERVAL) / 2
    known = [one for one in drawn if not np.isnan(one)]
    if not known:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [edge, 1 - edge])
    return Interval(value, float(low), float(high))


def apgr_intervals(
    scores: Mapping[str, Column], answers: Answers, against: str, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """APGR of a router less that of each other one; `random` is what chance gives, .50 exactly."""
    orders = {name: order_of(one) for name, one in scores.items()}
    gap = answers.gap
    found = {
        name: resampled(
            len(answers),
            lambda counts, order=order: (  # type: ignore[misc]
                weighted_apgr(orders[against], gap, counts) - weighted_apgr(order, gap, counts)
            ),
            resamples,
        )
        for name, order in orders.items()
        if name != against
    }
    found["random"] = resampled(
        len(answers), lambda counts: weighted_apgr(orders[against], gap, counts) - 0.5, resamples
    )
    return found


def weighted_apgr(order: NDArray[np.intp], gap: Column, counts: Column) -> float:
    """APGR where prompts count more than once, or not at all; NaN without a gap."""
    weights = counts[order]
    gained = np.concatenate([[0.0], np.cumsum(gap[order] * weights)])
    calls = np.concatenate([[0.0], np.cumsum(weights)])
    if gained[-1] == 0:
        return float("nan")
    return float(np.trapezoid(gained / gained[-1], calls / calls[-1]))


def quality_at(order: NDArray[np.intp], answers: Answers, share: float, counts: Column) -> float:
    """Mean quality where this share of calls, by weight, goes to the strong model."""
    weights = counts[order]
    strong = np.cumsum(weights) <= share * weights.sum() + 1e-9
    quality = np.where(strong, answers.strong[order], answers.weak[order])
    return float((quality * weights).sum() / weights.sum())
