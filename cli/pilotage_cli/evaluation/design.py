"""Texts as sparse rows of hashed n-grams, and ridge regression over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.features.ngrams import BUCKETS, buckets_of

Column = NDArray[np.float32]

_MOST_STEPS: Final = 60
_CLOSE_ENOUGH: Final = 1e-3
"""Of the residual against the first one: figures do not move below it."""


@dataclass(slots=True, frozen=True)
class Design:
    """Rows of one fit. A row's buckets count 1/sqrt(number of buckets) each, as `Predictor` counts them."""

    buckets: NDArray[np.intp]
    """Of all rows, one behind the other."""
    begins: NDArray[np.intp]
    """Where each row begins there; no row is empty."""
    shares: Column
    """Of each row."""

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Self:
        """The rows of some texts; an empty text counts as one space."""
        found = [buckets_of(text or b" ") for text in texts]
        counts = np.array([len(one) for one in found], np.intp)
        return cls(
            np.concatenate(found) if found else np.empty(0, np.intp),
            (np.cumsum(counts) - counts).astype(np.intp),
            (1 / np.sqrt(counts)).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.begins)

    @property
    def counts(self) -> NDArray[np.intp]:
        """Buckets of each row."""
        return np.diff(np.append(self.begins, len(self.buckets)))

    def rows(self, wanted: NDArray[np.intp]) -> "Design":
        """Some of the rows, in that order."""
        counts = self.counts[wanted]
        begins = np.cumsum(counts) - counts
        picked = np.repeat(self.begins[wanted] - begins, counts) + np.arange(counts.sum())
        return Design(self.buckets[picked], begins, self.shares[wanted])

    def times(self, weights: Column) -> Column:
        """A score for each row."""
        return np.add.reduceat(weights[self.buckets], self.begins) * self.shares

    def transposed_times(self, values: Column) -> Column:
        """What each bucket gathers of a value a row."""
        spread = np.repeat(values * self.shares, self.counts)
        return np.bincount(self.buckets, weights=spread, minlength=BUCKETS).astype(np.float32)


@dataclass(slots=True, frozen=True)
class Weights:
    """A fitted head."""

    buckets: Column
    bias: float

    def scores(self, design: Design) -> Column:
        """What is predicted for each row."""
        return design.times(self.buckets) + np.float32(self.bias)


def ridge(
    design: Design, wanted: NDArray[np.float64], penalty: float, counts: NDArray[np.float64] | None = None
) -> Weights:
    """Least squares with `penalty` on the squares of all weights; `counts` weighs rows.

    By conjugate gradients on the normal equations (Hestenes and Stiefel, 1952).
    """
    weight = np.ones(len(design), np.float32) if counts is None else counts.astype(np.float32)
    bias = float(wanted @ weight) / float(weight.sum())
    weights = np.zeros(BUCKETS, np.float32)
    rest = design.transposed_times(weight * (wanted - bias).astype(np.float32))
    step = rest.copy()
    size = first = float(rest @ rest)
    for _ in range(_MOST_STEPS):
        if size <= first * _CLOSE_ENOUGH**2 or size == 0.0:
            break
        there = design.transposed_times(weight * design.times(step)) + penalty * step
        length = size / float(step @ there)
        weights += length * step
        rest -= length * there
        before, size = size, float(rest @ rest)
        step = rest + (size / before) * step
    return Weights(weights, bias)
