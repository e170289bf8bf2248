"""Recorded answers of two models to the same prompts, in columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True, frozen=True)
class Answers:
    """One row a prompt. Scores are 0 to 1: what share of an answer is right."""

    prompts: tuple[str, ...]
    groups: tuple[str, ...]
    """What may be left out together: a subject, a data set."""
    weak: NDArray[np.float64]
    strong: NDArray[np.float64]
    weak_model: str
    strong_model: str
    weak_cost: NDArray[np.float64]
    """In one unit for both models: dollars, else output tokens, else calls (0 and 1)."""
    strong_cost: NDArray[np.float64]
    cost_unit: str = "calls"

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def gap(self) -> NDArray[np.float64]:
        """How much better the strong model's answers are."""
        return self.strong - self.weak

    def texts(self) -> list[bytes]:
        """Prompts as the predictor reads them."""
        return [prompt.encode("utf-8", "surrogatepass") for prompt in self.prompts]

    def rows(self, wanted: NDArray[np.intp]) -> "Answers":
        """Some of them, in that order."""
        return replace(
            self,
            prompts=tuple(self.prompts[index] for index in wanted),
            groups=tuple(self.groups[index] for index in wanted),
            weak=self.weak[wanted],
            strong=self.strong[wanted],
            weak_cost=self.weak_cost[wanted],
            strong_cost=self.strong_cost[wanted],
        )

    def without(self, group: str) -> "Answers":
        """All but one group."""
        return self.rows(np.flatnonzero(np.array([one != group for one in self.groups])))


def answers_of(rows: Sequence[tuple[str, str, float, float]], weak_model: str, strong_model: str) -> Answers:
    """Of (prompt, group, weak score, strong score); a call of the strong model costs 1, of the weak one 0."""
    return Answers(
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        np.array([row[2] for row in rows], np.float64),
        np.array([row[3] for row in rows], np.float64),
        weak_model,
        strong_model,
        np.zeros(len(rows)),
        np.ones(len(rows)),
    )
