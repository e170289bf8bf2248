"""How long answers are, by rule and model: learned from those that ended.

A histogram by powers of two to the quarter, whose old counts fade. An answer that ended at its budget says
only that it would have been at least as long: its count goes to the longer lengths, as they are known to
be spread (Efron, "The two sample problem with censored data", 1967, redistributes to the right alike).
"""

import math
from bisect import bisect_left
from collections import OrderedDict
from itertools import accumulate
from typing import Final

_BINS: Final = 72
_PER_OCTAVE: Final = 4
_MIDDLES: Final = tuple(2 ** ((index + 0.5) / _PER_OCTAVE) for index in range(_BINS))
"""Tokens; the first bin is around 1, the last around 250,000."""
_PRIOR_TOKENS: Final = 256.0
_PRIOR_WEIGHT: Final = 4.0
_PRIOR_OCTAVES: Final = 1.5
"""Standard deviation of what is assumed before anything is known."""
_MOST_WEIGHT: Final = 1000.0
"""Past it old counts are halved: the last thousand answers or so are what is known."""
_MOST_KEYS: Final = 4096
_MOST_BOUNDS: Final = 16
"""Kept of one rule and model."""
_AT_BUDGET: Final = 0.98


class Lengths:
    """What is known of one rule's answers by one model."""

    __slots__ = ("_by_bounds", "_counts", "_means", "_shares", "seen")

    def __init__(self) -> None:
        centre = math.log2(_PRIOR_TOKENS)
        bumps = [math.exp(-(((math.log2(one) - centre) / _PRIOR_OCTAVES) ** 2) / 2) for one in _MIDDLES]
        self._counts = [_PRIOR_WEIGHT * one / sum(bumps) for one in bumps]
        self._shares: list[float] = []
        """Share of answers up to each bin, this one included; empty where that is to be computed anew."""
        self._means: list[float] = []
        """What these add to the mean."""
        self._by_bounds: dict[tuple[float, float, tuple[float, ...]], tuple[list[float], list[float]]] = {}
        """What was asked for since the last answer: most requests ask for the same."""
        self.seen = 0
        """Answers it was learned from."""

    def observe(self, tokens: int, budget: int | None) -> None:
        """An answer of so many tokens ended, of a request with this budget."""
        at = _bin(tokens)
        if budget is not None and tokens >= budget * _AT_BUDGET:
            longer = sum(self._counts[at:])
            for index in range(at, _BINS):
                self._counts[index] *= 1 + 1 / longer
        else:
            self._counts[at] += 1
        self.seen += 1
        if sum(self._counts) > _MOST_WEIGHT:
            self._counts = [count / 2 for count in self._counts]
        self._shares = []
        self._by_bounds.clear()

    def bounded(
        self, most: float, bounds: tuple[float, ...], quantile: float
    ) -> tuple[list[float], list[float]]:
        """By each bound: tokens expected, and at the quantile, of answers that it and `most` end."""
        asked = (most, quantile, bounds)
        found = self._by_bounds.get(asked)
        if found is None:
            longest, ends = self.quantile(quantile), [min(one, most) for one in bounds]
            found = [self.expected(one) for one in ends], [min(longest, one) for one in ends]
            if len(self._by_bounds) < _MOST_BOUNDS:
                self._by_bounds[asked] = found
        return found

    def expected(self, budget: float) -> float:
        """E[min(length, budget)] in tokens: never less for a greater budget."""
        self._ready()
        if budget > _MIDDLES[-1]:
            return self._means[-1]
        shorter = bisect_left(_MIDDLES, budget) - 1
        if shorter < 0:
            return budget
        return min(budget, self._means[shorter] + budget * (1 - self._shares[shorter]))

    def quantile(self, share: float) -> float:
        """The length, in tokens, that this share of answers does not exceed."""
        self._ready()
        return _MIDDLES[min(bisect_left(self._shares, share), _BINS - 1)]

    def _ready(self) -> None:
        if self._shares:
            return
        total = sum(self._counts)
        self._shares = [one / total for one in accumulate(self._counts)]
        weighed = (count * middle for count, middle in zip(self._counts, _MIDDLES, strict=True))
        self._means = [one / total for one in accumulate(weighed)]


def _bin(tokens: int) -> int:
    index = int(_PER_OCTAVE * math.log2(max(1, tokens)))
    return min(index, _BINS - 1)


class LengthBook:
    """Lengths by rule and upstream model; those least recently learned of are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], Lengths] = OrderedDict()
        self._unknown = Lengths()

    def of(self, rule: str, upstream_model: str) -> Lengths:
        """What is known; what is assumed where nothing is."""
        return self._known.get((rule, upstream_model), self._unknown)

    def observe(self, rule: str, upstream_model: str, tokens: int, budget: int | None) -> None:
        """An answer ended."""
        key = (rule, upstream_model)
        lengths = self._known.get(key)
        if lengths is None:
            lengths = self._known[key] = Lengths()
        lengths.observe(tokens, budget)
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KEYS:
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._known)
