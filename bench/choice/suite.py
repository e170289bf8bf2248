"""All routers on all seeds, as points in money and right answers, and whether any rival lies outside."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.choice.answers import Question, split
from bench.choice.fleet import Answered, Load, Run
from bench.choice.routers import always, by_objective, model_first, saturation_rule

ROUTERS: Final = {
    "always-cheap": always(0),
    "always-strong": always(1),
    "model-first, gain 0.10": model_first(0.10),
    "model-first, gain 0.20": model_first(0.20),
    "model-first, gain 0.30": model_first(0.30),
    "rule: poolSaturation > 0.8": saturation_rule(0.8),
    "pilotage 100/0/20": by_objective(100, 0, 20),
    "pilotage 100/10/20": by_objective(100, 10, 20),
    "pilotage 100/20/20": by_objective(100, 20, 20),
    "pilotage 100/23/20": by_objective(100, 23, 20),
    "pilotage 100/26/20": by_objective(100, 26, 20),
    "pilotage 100/30/20": by_objective(100, 30, 20),
    "pilotage 100/60/20": by_objective(100, 60, 20),
    "pilotage 100/150/20": by_objective(100, 150, 20),
    "pilotage 100/400/20": by_objective(100, 400, 20),
    "pilotage 0/100/0": by_objective(0, 100, 0),
}
"""Weights of quality, cost and latency are the name's."""
OURS: Final = "pilotage"
_T_95: Final = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Student's t at 97.5% by number of seeds."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds, and half of its 95% interval."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        """Of independent values."""
        mean = sum(values) / len(values)
        if len(values) < 2:
            return cls(mean, math.inf)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        return cls(mean, _T_95.get(len(values), 1.96) * math.sqrt(variance / len(values)))


@dataclass(frozen=True, slots=True)
class Measured:
    """One router on one seed."""

    right: float
    """Share of questions that were answered rightly and in time."""
    usd: float
    """Dollars a question."""
    strong: float

    @classmethod
    def of(cls, answered: Sequence[Answered]) -> "Measured":
        """Of all its questions."""
        count = len(answered)
        return cls(
            sum(one.worth for one in answered) / count,
            sum(one.usd for one in answered) / count,
            sum(one.model for one in answered) / count,
        )


@dataclass(frozen=True, slots=True)
class Point:
    """One router over all seeds."""

    router: str
    right: Mean
    usd: Mean
    strong: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "router": self.router,
            "right": [round(self.right.mean, 4), round(self.right.half, 4)],
            "usd": [round(self.usd.mean, 6), round(self.usd.half, 6)],
            "strong": round(self.strong, 3),
            "rightPerUsd": round(self.right.mean / self.usd.mean, 1),
        }


Runs = dict[str, list[Measured]]


def compare(questions: list[Question], load: Load, seeds: Sequence[int]) -> Runs:
    """Every router on every seed; on one seed all answer the same questions at the same times."""
    runs: Runs = {name: [] for name in ROUTERS}
    for seed in seeds:
        priors, replayed = split(questions, seed)
        for name, make in ROUTERS.items():
            run = Run(make, priors, seed)
            run.serve(replayed, load, seed)
            runs[name].append(Measured.of(run.answered))
    return runs


def points(runs: Runs) -> list[Point]:
    """Means and intervals."""
    return [
        Point(
            name,
            Mean.of([one.right for one in of]),
            Mean.of([one.usd for one in of]),
            Mean.of([one.strong for one in of]).mean,
        )
        for name, of in runs.items()
    ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one rival lies to the front of Pilotage's points."""

    rival: str
    text: str


def outside(runs: Runs) -> list[Verdict]:
    """Of each rival: how far below the front it is, at equal cost; the difference is paired by seed."""
    ours = {name: of for name, of in runs.items() if name.startswith(OURS)}
    verdicts = []
    for rival, of in runs.items():
        if rival.startswith(OURS):
            continue
        gaps = [
            _at_cost([one[seed] for one in ours.values()], rival_run.usd) - rival_run.right
            for seed, rival_run in enumerate(of)
        ]
        gap = Mean.of(gaps)
        word = "beyond" if gap.mean - gap.half > 0 else "inside" if gap.mean + gap.half < 0 else "on"
        text = f"the front is {word} {rival}: {gap.mean:+.3f} ± {gap.half:.3f} right in time at its cost"
        verdicts.append(Verdict(rival, text))
    return verdicts


def _at_cost(ours: Sequence[Measured], usd: float) -> float:
    """The best share that the front has for this money; mixing two of its points by chance is allowed.

    For less than its cheapest point costs, it has that point's share in proportion.
    """
    best = 0.0
    for one in ours:
        if one.usd <= usd:
            best = max(best, one.right)
    for cheap in ours:
        for dear in ours:
            if cheap.usd < usd < dear.usd:
                share = (usd - cheap.usd) / (dear.usd - cheap.usd)
                best = max(best, cheap.right + share * (dear.right - cheap.right))
    if best == 0.0:
        cheapest = min(ours, key=lambda one: one.usd)
        best = cheapest.right * usd / cheapest.usd
    return best
