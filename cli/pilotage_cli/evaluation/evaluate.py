"""One evaluation: routers on the same recorded answers, with figures, intervals and curves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pilotage_cli.evaluation.answers import Answers
from pilotage_cli.evaluation.bootstrap import Interval, apgr_intervals, quality_at, resampled
from pilotage_cli.evaluation.metrics import Curve, Figures, curve_of, figures_of, order_of
from pilotage_cli.evaluation.protocol import INTERVAL, LOW_BAND, RECOVERY_BAND, RESAMPLES, SEED, fold_of
from pilotage_cli.evaluation.routers import of_chance, of_domains, of_oracle, out_of_fold

Column = NDArray[np.float64]
ROUTER = "router"
_LEAST_OF_A_GROUP = 50
"""Prompts of a group that has figures of its own."""


@dataclass(slots=True, frozen=True)
class Transfer:
    """APGR of weights fitted on the same answers, out of fold."""

    prompts_left_out: float
    groups_left_out: float
    """NaN where all are of one group."""

    @property
    def drop(self) -> float:
        """The cross-domain drop: what does not carry over to groups that were not fitted on."""
        return self.prompts_left_out - self.groups_left_out


@dataclass(slots=True, frozen=True)
class Evaluation:
    """What came out."""

    answers: Answers
    figures: Mapping[str, Figures]
    curves: Mapping[str, Curve]
    against: Mapping[str, Interval]
    """APGR of the router less that of each other."""
    at_half: Mapping[str, Interval]
    """Quality of the router at half of all calls less that of each other, there or (always weak, always
    strong) without a choice."""
    within_groups: float
    """Mean APGR within groups: what is left when the group is known."""
    transfer: Transfer

    def as_json(self) -> dict[str, Any]:
        """Everything but the curves' every point."""
        answers = self.answers
        return {
            "weak": answers.weak_model,
            "strong": answers.strong_model,
            "prompts": len(answers),
            "alwaysWeak": {"quality": answers.weak.mean(), "cost": answers.weak_cost.mean()},
            "alwaysStrong": {"quality": answers.strong.mean(), "cost": answers.strong_cost.mean()},
            "costUnit": answers.cost_unit,
            "bands": {"lpmCalls": LOW_BAND, "hcrRecovery": RECOVERY_BAND},
            "bootstrap": {"resamples": RESAMPLES, "interval": INTERVAL, "seed": SEED},
            "figures": {name: asdict(one) for name, one in self.figures.items()},
            "apgrAgainst": {name: asdict(one) for name, one in self.against.items()},
            "qualityAtHalfAgainst": {name: asdict(one) for name, one in self.at_half.items()},
            "withinGroups": self.within_groups,
            "fittedHere": {**asdict(self.transfer), "crossDomainDrop": self.transfer.drop},
            "curves": {
                name: [
                    {
                        "calls": round(float(one.calls[at]), 4),
                        "quality": float(one.quality[at]),
                        "cost": float(one.cost[at]),
                    }
                    for at in np.linspace(0, len(one.calls) - 1, 21).astype(int)
                ]
                for name, one in self.curves.items()
            },
        }


def evaluate(
    scores: Column, answers: Answers, domains: NDArray[np.str_], resamples: int = RESAMPLES
) -> Evaluation:
    """Judge a router by its score for each prompt. `domains` is what the domain-only router knows."""
    routers = {
        ROUTER: scores,
        "domain-only": of_domains(domains, answers),
        "random": of_chance(answers),
        "oracle": of_oracle(answers),
    }
    orders = {name: order_of(one) for name, one in routers.items()}
    curves = {
        name: curve_of(order, answers.weak, answers.strong, answers.weak_cost, answers.strong_cost)
        for name, order in orders.items()
    }
    figures = {name: figures_of(curves[name], routers[name], answers.gap) for name in routers}
    own = orders[ROUTER]

    def against(order: NDArray[np.intp], share: float) -> Interval:
        return resampled(
            len(answers),
            lambda counts: quality_at(own, answers, 0.5, counts) - quality_at(order, answers, share, counts),
            resamples,
        )

    at_half = {name: against(order, 0.5) for name, order in orders.items() if name != ROUTER}
    at_half["always-weak"] = against(own, 0.0)
    at_half["always-strong"] = against(own, 1.0)
    others = {name: one for name, one in routers.items() if name != "random"}
    return Evaluation(
        answers,
        figures,
        curves,
        apgr_intervals(others, answers, ROUTER, resamples),
        at_half,
        _within_groups(scores, answers),
        transfer_of(answers),
    )


def transfer_of(answers: Answers) -> Transfer:
    """How weights that are fitted on these answers do on what they have not seen of them."""
    by_prompt = np.array([fold_of(prompt) for prompt in answers.prompts])
    by_group = np.array([fold_of(group) for group in answers.groups])
    inside = apgr_of(out_of_fold(answers, by_prompt), answers).apgr
    if len(np.unique(by_group)) < 2:
        return Transfer(inside, float("nan"))
    return Transfer(inside, apgr_of(out_of_fold(answers, by_group), answers).apgr)


def apgr_of(scores: Column, answers: Answers) -> Figures:
    """The figures of one router alone."""
    order = order_of(scores)
    curve = curve_of(order, answers.weak, answers.strong, answers.weak_cost, answers.strong_cost)
    return figures_of(curve, scores, answers.gap)


def _within_groups(scores: Column, answers: Answers) -> float:
    """Weighed by prompts; of groups that are large enough and where the strong model is better."""
    groups = np.array(answers.groups)
    found, weights = [], []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        part = answers.rows(rows)
        if len(rows) >= _LEAST_OF_A_GROUP and part.gap.mean() >= 0.02:
            found.append(apgr_of(scores[rows], part).apgr)
            weights.append(len(rows))
    return float(np.average(found, weights=weights)) if found else float("nan")
