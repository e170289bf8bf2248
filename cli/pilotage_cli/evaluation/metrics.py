"""What a router is worth on recorded answers, from a score for each prompt.

Calls go to the strong model in order of the score, the highest first. The gap recovered by a share of calls
is (quality - always weak) / (always strong - always weak): RouteLLM, arXiv 2406.18665. Router ability, LPM,
HCR and MPM: RouterXBench, arXiv 2602.11877, with the bands of `protocol`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage_cli.evaluation.protocol import LOW_BAND, RECOVERY_BAND, SEED

Column = NDArray[np.float64]


@dataclass(slots=True, frozen=True)
class Curve:
    """Quality for each number of calls to the strong model, from none to all."""

    calls: Column
    """Shares, 0 to 1."""
    quality: Column
    cost: Column
    """Mean a prompt."""

    @property
    def recovery(self) -> Column:
        """Share of the gap recovered; NaN where the models are equal."""
        gap = self.quality[-1] - self.quality[0]
        recovered: Column = (self.quality - self.quality[0]) / (gap or np.nan)
        return recovered


@dataclass(slots=True, frozen=True)
class Figures:
    """The figures of one curve."""

    apgr: float
    """Mean share of the gap recovered over all shares of calls; chance is .50."""
    cpt50: float
    """Least share of calls that recovers half of the gap."""
    cpt80: float
    ability: float
    """AUROC of the score for prompts that only the strong model answers, against those that it gains
    nothing on."""
    lpm: float
    """Mean quality where up to a quarter of calls are strong."""
    hcr: float
    """Mean share of calls that recovers 70 to 90% of the gap."""
    mpm: float
    """Mean quality between these two."""


def order_of(scores: Column, seed: int = SEED) -> NDArray[np.intp]:
    """Prompts by falling score; equal ones in an order drawn by the seed."""
    chance = np.random.default_rng(seed).random(len(scores))
    return np.lexsort((chance, -scores))


def curve_of(
    order: NDArray[np.intp], weak: Column, strong: Column, weak_cost: Column, strong_cost: Column
) -> Curve:
    """The curve of calling the strong model in this order."""
    count = len(order)
    return Curve(
        np.arange(count + 1) / count,
        (weak.sum() + _sums((strong - weak)[order])) / count,
        (weak_cost.sum() + _sums((strong_cost - weak_cost)[order])) / count,
    )


def _sums(values: Column) -> Column:
    return np.concatenate([[0.0], np.cumsum(values)])


def figures_of(curve: Curve, scores: Column, gap: Column) -> Figures:
    """All figures of one curve; NaN where the strong model is no better over all."""
    recovery = curve.recovery
    low = _mean(curve.quality, curve.calls, *LOW_BAND)
    begin = least_calls(curve.calls, recovery, RECOVERY_BAND[0])
    levels = np.linspace(*RECOVERY_BAND, 21)
    return Figures(
        apgr=_mean(recovery, curve.calls, 0.0, 1.0),
        cpt50=least_calls(curve.calls, recovery, 0.5),
        cpt80=least_calls(curve.calls, recovery, 0.8),
        ability=auroc(scores, gap > 0),
        lpm=low,
        hcr=float(np.mean([least_calls(curve.calls, recovery, level) for level in levels])),
        mpm=_mean(curve.quality, curve.calls, LOW_BAND[1], max(LOW_BAND[1], begin)),
    )


def least_calls(calls: Column, recovery: Column, level: float) -> float:
    """The least share of calls that recovers this share of the gap; NaN where none does."""
    enough = np.flatnonzero(recovery >= level)
    return float(calls[enough[0]]) if len(enough) else float("nan")


def auroc(scores: Column, positive: NDArray[np.bool_]) -> float:
    """Chance that a positive one scores higher than another; ties count half. NaN without both kinds."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def _mean(values: Column, calls: Column, begin: float, end: float) -> float:
    """Mean over shares of calls from `begin` to `end`, by trapezoids; the value there where they are one."""
    if np.isnan(end):
        return float("nan")
    if end <= begin:
        return float(np.interp(begin, calls, values))
    inside = calls[(calls > begin) & (calls < end)]
    points = np.concatenate([[begin], inside, [end]])
    return float(np.trapezoid(np.interp(points, calls, values), points) / (end - begin))
