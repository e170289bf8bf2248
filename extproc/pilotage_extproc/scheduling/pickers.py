"""Pickers: from scores to an order, never the same way twice."""

import numpy as np
from numpy.typing import NDArray

NEAR_TIE = 0.005
"""Scores (0 to 1) closer than this are decided by chance, the better one more often."""
_FEW = 64
_FEW_PLACES = 8
"""So many of the best are sooner found one by one than by parting all."""


class MaxScore:
    """The best score first; near-ties are decided by chance."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def order(self, scores: NDArray[np.float64], members: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
        """Members by score, best first."""
        count = len(members)
        chance = self._random.random(count)
        chance *= NEAR_TIE
        if count == len(scores):
            chance += scores
            return _best_first(chance, limit)
        chance += scores[members]
        return members[_best_first(chance, limit)]


class WeightedRandom:
    """Each member's chance to be next is its score's share of those left.

    Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): sort by u^(1/w), or
    by log(u)/w, which has the same order.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def order(self, scores: NDArray[np.float64], members: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
        """Members in an order drawn by score."""
        weights = np.maximum(scores[members], 1e-9)
        keys = np.log(1.0 - self._random.random(len(members))) / weights
        return members[_best_first(keys, limit)]


def _best_first(keys: NDArray[np.float64], limit: int) -> NDArray[np.intp]:
    """Places of the `limit` best keys, or of all; may take them out of `keys`."""
    count = len(keys)
    if count <= _FEW or count <= limit:
        return keys.argsort()[::-1]
    if limit > _FEW_PLACES:
        best = np.argpartition(keys, -limit)[-limit:]
        return best[keys[best].argsort()[::-1]]
    found = np.empty(limit, np.intp)
    for place in range(limit):
        found[place] = at = keys.argmax()
        keys[at] = -np.inf
    return found
