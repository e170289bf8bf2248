"""What output budgets are good for under `clamp`: GSM8K answers with their lengths, cut at each level.

A cut answer is wrong. A policy mixes options by chance: models alone, or models and budgets together. Which
mix is best for its money is told by four fifths of the questions, and judged on the fifth that is left out.
Nothing is known of single questions, so this says what budgets add, not what a predictor does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.choice.answers import Question, gsm8k_answers
from bench.choice.routers import MODELS, usd_of
from pilotage_extproc.features import exact_tokens

LEVELS: Final = (64, 96, 128, 192, 256, 384, None)
SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the way from what the weak model costs to what the strong one costs."""
_VOCABULARY: Final = "cl100k_base"
"""The strong model's; the weak one's answers are counted in it too."""
_FOLDS: Final = 5
_RESAMPLES: Final = 1000
_BYTES_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Option:
    """One model with one budget."""

    model: int
    budget: int | None
    right: NDArray[np.float64]
    """By question: 1 where the answer is right and not cut."""
    usd: NDArray[np.float64]
    tokens: NDArray[np.float64]

    @classmethod
    def of(cls, questions: Sequence[Question], model: int, budget: int | None) -> "Option":
        """As recorded, cut at the budget."""
        lengths = [one.tokens[model] for one in questions]
        kept = [length if budget is None else min(length, budget) for length in lengths]
        whole = [length == cut for length, cut in zip(lengths, kept, strict=True)]
        prompts = [one.prompt_bytes // _BYTES_PER_TOKEN for one in questions]
        return cls(
            model,
            budget,
            np.array(
                [one.correct[model] and all_of for one, all_of in zip(questions, whole, strict=True)], float
            ),
            np.array([usd_of(model, prompt, cut) for prompt, cut in zip(prompts, kept, strict=True)]),
            np.array(kept, float),
        )


def compare_budgets(routellm: Path, seed: int = 13) -> dict[str, Any]:
    """What each option is, and model and budget together against the model alone at equal cost."""
    questions = list(gsm8k_answers(routellm, exact_tokens.counter(_VOCABULARY)))
    Random(seed).shuffle(questions)
    options = [Option.of(questions, model, level) for model in (0, 1) for level in LEVELS]
    alone = [option for option in options if option.budget is None]
    return {
        "questions": len(questions),
        "options": [
            {
                "model": MODELS[one.model],
                "budget": one.budget,
                "right": round(float(one.right.mean()), 4),
                "usdPerThousand": round(float(one.usd.mean()) * 1000, 4),
                "tokens": round(float(one.tokens.mean()), 1),
            }
            for one in options
        ],
        "atEqualCost": [_at_share(options, alone, share, seed) for share in SHARES],
    }


def _at_share(options: list[Option], alone: list[Option], share: float, seed: int) -> dict[str, Any]:
    count = len(options[0].right)
    folds = np.arange(count) % _FOLDS
    found = {name: np.zeros((2, count)) for name in ("joint", "alone")}
    for fold in range(_FOLDS):
        known, judged = folds != fold, folds == fold
        weak, strong = (float(one.usd[known].mean()) for one in alone)
        usd = weak + share * (strong - weak)
        for name, offered in (("joint", options), ("alone", alone)):
            for weight, option in best_mix(offered, known, usd):
                found[name][0, judged] += weight * option.right[judged]
                found[name][1, judged] += weight * option.usd[judged]
    random = np.random.default_rng(seed)
    draws = random.integers(0, count, (_RESAMPLES, count))
    gains = (found["joint"][0] - found["alone"][0])[draws].mean(axis=1)
    low, high = np.quantile(gains, (0.025, 0.975))
    return {
        "share": share,
        **{
            name: {
                "right": round(float(right.mean()), 4),
                "usdPerThousand": round(float(usd.mean()) * 1000, 4),
            }
            for name, (right, usd) in found.items()
        },
        "gain": [round(float(low), 4), round(float(high), 4)],
    }


def best_mix(offered: Sequence[Option], known: NDArray[np.bool_], usd: float) -> list[tuple[float, Option]]:
    """At most two options and their shares: the most right answers for this money, by the known questions."""
    points = sorted(
        ((float(one.usd[known].mean()), float(one.right[known].mean()), one) for one in offered),
        key=lambda point: point[:2],
    )
    hull: list[tuple[float, float, Option]] = []
    for point in points:
        while hull and point[1] >= hull[-1][1] and point[0] <= hull[-1][0]:
            hull.pop()
        if hull and point[1] <= hull[-1][1]:
            continue  # dearer and no better
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], point):
            hull.pop()
        hull.append(point)
    if usd <= hull[0][0]:
        return [(1.0, hull[0][2])]
    for before, after in pairwise(hull):
        if usd < after[0]:
            share = (usd - before[0]) / (after[0] - before[0])
            return [(1 - share, before[2]), (share, after[2])]
    return [(1.0, hull[-1][2])]


def _slope(before: tuple[float, float, Option], after: tuple[float, float, Option]) -> float:
    return (after[1] - before[1]) / (after[0] - before[0])
