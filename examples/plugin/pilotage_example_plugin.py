"""A scorer, a filter and a picker for Pilotage.

Each entry point names a factory that takes the step's `parameters` (text by name) and returns an object
of the shape that docs/plugins.md describes. Columns are numpy arrays with one value a candidate.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class RackDistance:
    """Scorer: hops to the rack that `parameters.rack` names; a rack is the third number of an address."""

    name = "example.com/rack-distance"
    unit = "hops"
    half = 1.0
    reads_prompt = False

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._rack = int(parameters.get("rack", "0"))
        self._candidates: Any = None
        self._racks: NDArray[np.float64] = np.empty(0)

    def score(self, view: Any) -> NDArray[np.float64]:
        """Lower is better. The racks are worked out once for each set of candidates."""
        if view.candidates is not self._candidates:
            self._candidates = view.candidates
            racks = [float(target.address.split(".")[2]) for target in view.candidates.targets]
            self._racks = np.array(racks)
        distance: NDArray[np.float64] = np.abs(self._racks - self._rack)
        return distance


class NotDraining:
    """Filter: drops the addresses that `parameters.draining` lists, with blanks between them."""

    reason = "draining"
    soft = True
    """Rather than drop all endpoints of a model, keep them all."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._draining = frozenset(parameters.get("draining", "").split())

    def keep(self, view: Any) -> NDArray[np.bool_] | None:
        """True where a candidate stays."""
        if not self._draining:
            return None
        targets = view.candidates.targets
        return np.array([target.address not in self._draining for target in targets])


class BestTwo:
    """Picker: the best two by score, in an order drawn by lot; then the rest."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        seed = parameters.get("seed")
        self._random = np.random.default_rng(None if seed is None else int(seed))

    def order(self, scores: NDArray[np.float64], members: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
        """`members` are indices into `scores`; at least `limit` of them, best first."""
        order = members[np.argsort(-scores[members], kind="stable")]
        order[:2] = self._random.permutation(order[:2])
        return order
