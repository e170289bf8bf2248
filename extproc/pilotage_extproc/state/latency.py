"""How long a server takes for the first token and for each further one: learned from answers, online.

By pool and model one line through what was known at each decision (queue, requests in flight, prompt tokens
to compute), with coefficients that are never negative, so that more load never looks faster; by server
one factor; and the spread of what came to what was predicted, for quantiles. Beside it runs a line through
the queue alone, and predictions are taken from whichever of the two has erred less lately.

Lines are weighted ridge regressions whose old observations fade, solved by coordinate descent
with the bound at zero (Friedman, Hastie, Tibshirani, "Regularization paths", 2010).
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEATURES: Final = 5
"""Of one endpoint at one decision: 1, requests waiting as last scraped, requests in flight that do not wait,
thousands of prompt tokens to compute for this request, and for those in flight."""
_OVER: Final = FEATURES
"""One more, made of these: requests that must end before this one begins, since there are more than such a
server was ever seen to answer at once. What a scrape found waiting is old when several came since."""
_LEAST_WAITING: Final = 2.0
"""One that waits may only wait for the step under way to end."""
ONLY_QUEUE: Final = (0, 1)
_ALL: Final = tuple(range(FEATURES + 1))
_KEEP: Final = 0.998
_RIDGE: Final = 1e-3
_SWEEPS: Final = 12
_SOLVE_EVERY: Final = 4
_SOLVE_ALWAYS: Final = 32
"""Observations up to which each one is solved for."""
_LEAST_SEEN: Final = 8
"""Observations before anything is predicted."""
_LEAST_SECONDS: Final = 1e-4
_NOBODY: Final = -1
_TIMES: Final = 2
"""To the first token, and for each further one."""
_FACTOR_KEEP: Final = 0.95
_FACTOR_PRIOR: Final = 6.0
"""Observations that a server's factor of 1 counts for."""
_ERROR_KEEP: Final = 0.98
_SPREAD_BINS: Final = 96
_SPREAD_SPAN: Final = math.log(16.0)
_SPREAD_KEEP: Final = 0.995
_MOST_KEYS: Final = 1024


class Line:
    """Seconds as a line through some of the features."""

    def __init__(self, used: tuple[int, ...] = _ALL) -> None:
        self._used = used
        size = len(used)
        self._products = [[0.0] * size for _ in used]
        self._targets = [0.0] * size
        self._seen = 0
        self._mean: float | None = None
        """Of what it took, of late."""
        self.coefficients: NDArray[np.float64] = np.zeros(FEATURES + 1)

    def observe(self, features: list[float], seconds: float) -> None:
        """It took so long. Times above the mean count by their share: else a few would count for all."""
        self._mean = seconds if self._mean is None else _moved(self._mean, seconds)
        weight = 1.0 / max(seconds, self._mean)
        used = [features[index] for index in self._used]
        for row, first in enumerate(used):
            products = self._products[row]
            self._targets[row] = _KEEP * self._targets[row] + weight * first * seconds
            for column, second in enumerate(used):
                products[column] = _KEEP * products[column] + weight * first * second
        self._seen += 1
        if self._seen <= _SOLVE_ALWAYS or self._seen % _SOLVE_EVERY == 0:
            self._solve()

    def forget(self, feature: int) -> None:
        """What was learned of a feature is wrong: it means something else from now on."""
        at = self._used.index(feature)
        self._targets[at] = 0.0
        for row, products in enumerate(self._products):
            products[at] = 0.0
            if row == at:
                self._products[row] = [0.0] * len(self._used)
        self.coefficients[feature] = 0.0

    def _solve(self) -> None:
        found = [float(self.coefficients[index]) for index in self._used]
        for _ in range(_SWEEPS):
            for row, products in enumerate(self._products):
                size = products[row]
                if size <= 0:
                    continue
                others = sum(
                    product * found[column] for column, product in enumerate(products) if column != row
                )
                found[row] = max(0.0, (self._targets[row] - others) / (size * (1 + _RIDGE)))
        for index, value in zip(self._used, found, strict=True):
            self.coefficients[index] = value


class Spread:
    """How what came compares to what was predicted, as quantiles of their ratio."""

    def __init__(self) -> None:
        self._counts: NDArray[np.float64] = np.zeros(_SPREAD_BINS)
        self._known: dict[float, float] = {}

    def observe(self, ratio: float) -> None:
        """What came, by what was predicted."""
        self._known.clear()
        self._counts *= _SPREAD_KEEP
        share = (math.log(max(ratio, 1e-9)) / _SPREAD_SPAN + 1) / 2
        self._counts[min(max(int(share * _SPREAD_BINS), 0), _SPREAD_BINS - 1)] += 1

    def factor(self, quantile: float) -> float:
        """The ratio that this share of what came does not exceed; 1 where nothing has come."""
        known = self._known.get(quantile)
        if known is None:
            known = self._known[quantile] = self._computed(quantile)
        return known

    def _computed(self, quantile: float) -> float:
        total = self._counts.sum()
        if not total:
            return 1.0
        wanted, upto = quantile * total, np.cumsum(self._counts)
        index = min(int(np.searchsorted(upto, wanted)), _SPREAD_BINS - 1)
        count = float(self._counts[index])
        within = (wanted - float(upto[index]) + count) / count if count else 1.0
        return math.exp(((index + within) / _SPREAD_BINS * 2 - 1) * _SPREAD_SPAN)


class Factors:
    """How much slower each server is than the lines say, at both times; each life of a row for itself."""

    def __init__(self) -> None:
        self._generations: NDArray[np.int64] = np.full(1, _NOBODY)
        """The last row is nobody's: rows beyond the end are looked up there."""
        self._counts: NDArray[np.float64] = np.zeros((_TIMES, 1))
        self._sums: NDArray[np.float64] = np.zeros((_TIMES, 1))
        self._values: NDArray[np.float64] = np.ones((_TIMES, 1))

    def observe(self, time: int, row: int, generation: int, ratio: float) -> None:
        """It took this by what the line of that time said."""
        if row >= len(self._generations) - 1:
            more = row + 2 - len(self._generations) + 64
            self._generations = np.concatenate([self._generations, np.full(more, _NOBODY)])
            self._counts = np.concatenate([self._counts, np.zeros((_TIMES, more))], axis=1)
            self._sums = np.concatenate([self._sums, np.zeros((_TIMES, more))], axis=1)
            self._values = np.concatenate([self._values, np.ones((_TIMES, more))], axis=1)
        if self._generations[row] != generation:
            self._generations[row] = generation
            self._counts[:, row] = self._sums[:, row] = 0.0
            self._values[:, row] = 1.0
        count = self._counts[time, row] = _FACTOR_KEEP * self._counts[time, row] + 1
        total = self._sums[time, row] = _FACTOR_KEEP * self._sums[time, row] + ratio
        self._values[time, row] = (_FACTOR_PRIOR + total) / (_FACTOR_PRIOR + count)

    def of(self, rows: NDArray[np.intp], generations: NDArray[np.int64]) -> NDArray[np.float64]:
        """By time and row; 1 where nothing is known of it."""
        known = self._generations.take(rows, mode="clip") == generations
        return np.where(known, self._values.take(rows, axis=1, mode="clip"), 1.0)

    def seen(self, rows: NDArray[np.intp], generations: NDArray[np.int64]) -> NDArray[np.float64]:
        """First tokens of late, by row."""
        known = self._generations.take(rows, mode="clip") == generations
        return np.where(known, self._counts[0].take(rows, mode="clip"), 0.0)

    def one(self, time: int, row: int, generation: int) -> float:
        """Of one row."""
        at = min(row, len(self._generations) - 1)
        return float(self._values[time, at]) if self._generations[at] == generation else 1.0


@dataclass(slots=True)
class _Measure:
    """One of the two times of one pool and model."""

    time: int
    factors: Factors
    only_queue: bool = False
    full: Line = field(default_factory=Line)
    queue: Line = field(default_factory=lambda: Line(ONLY_QUEUE))
    full_error: float = 0.0
    queue_error: float = 0.0
    """What each has erred lately, as a moving mean of seconds."""
    spread: Spread = field(default_factory=Spread)
    seen: int = 0

    @property
    def line(self) -> Line:
        """The one that has erred less."""
        return self.full if self.full_error <= self.queue_error and not self.only_queue else self.queue

    def observe(self, row: int, generation: int, features: list[float], seconds: float) -> None:
        """It took so long at that row."""
        if self.seen >= _LEAST_SEEN:
            values, factor = np.array(features), self.factors.one(self.time, row, generation)
            full, queue = float(values @ self.full.coefficients), float(values @ self.queue.coefficients)
            by_line = full if self.line is self.full else queue
            self.full_error = _moved(self.full_error, abs(seconds - full * factor))
            self.queue_error = _moved(self.queue_error, abs(seconds - queue * factor))
            self.spread.observe(seconds / max(by_line * factor, _LEAST_SECONDS))
            ratio = min(max(seconds / max(by_line, _LEAST_SECONDS), 0.1), 10.0)
            self.factors.observe(self.time, row, generation, ratio)
        self.full.observe(features, seconds)
        self.queue.observe(features, seconds)
        self.seen += 1


def _moved(mean: float, value: float) -> float:
    return _ERROR_KEEP * mean + (1 - _ERROR_KEEP) * value


@dataclass(slots=True, frozen=True)
class Predicted:
    """One time for some endpoints."""

    seconds: NDArray[np.float64]
    factor: float
    """What the stated quantile is, by these."""
    seen: int
    """Answers it was learned from."""
    only_queue: bool


class LatencyBook:
    """Times of every pool and model that answers; those least recently learned of are forgotten."""

    def __init__(self, *, only_queue: bool = False) -> None:
        """`only_queue` predicts by the queue alone, whatever has erred less."""
        self._only_queue = only_queue
        self._known: OrderedDict[tuple[str, str], tuple[_Measure, _Measure]] = OrderedDict()
        self._places: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def seen(
        self,
        pool: str,
        upstream_model: str,
        waiting: NDArray[np.float64],
        running: NDArray[np.float64],
    ) -> None:
        """What servers were found to do: where some wait, the others are all that it answers at once."""
        known = self._places.get((pool, upstream_model), 0.0)
        if running.max(initial=0.0) > known and (full := waiting >= _LEAST_WAITING).any():
            self._full((pool, upstream_model), float(running[full].max()))

    def _full(self, key: tuple[str, str], running: float) -> None:
        if running > self._places.get(key, 0.0):
            self._places[key] = running
            for measure in self._known.get(key, ()):
                measure.full.forget(_OVER)
            if len(self._places) > _MOST_KEYS:
                self._places.popitem(last=False)

    def observe(
        self,
        pool: str,
        upstream_model: str,
        row: int,
        generation: int,
        features: list[float],
        ttft_seconds: float | None,
        tpot_seconds: float | None,
    ) -> None:
        """An answer has ended. None is not known of it."""
        key = (pool, upstream_model)
        measures = self._known.get(key)
        if measures is None:
            factors = Factors()
            measures = (_Measure(0, factors, self._only_queue), _Measure(1, factors, self._only_queue))
            self._known[key] = measures
        self._known.move_to_end(key)
        places = self._places.get(key)
        waiting, others = features[1], features[2]
        over = waiting if places is None else max(0.0, waiting + others + 1.0 - places)
        features = [*features, over]
        for measure, seconds in zip(measures, (ttft_seconds, tpot_seconds), strict=True):
            if seconds is not None and seconds >= 0:
                measure.observe(row, generation, features, max(seconds, _LEAST_SECONDS))
        if len(self._known) > _MOST_KEYS:
            self._known.popitem(last=False)

    def predict(
        self,
        pool: str,
        upstream_model: str,
        rows: NDArray[np.intp],
        generations: NDArray[np.int64],
        features: NDArray[np.float64],
        quantile: float,
    ) -> tuple[Predicted | None, Predicted | None]:
        """Time to the first token, and for each further one, by endpoint; None where too little is known.

        `features` is [FEATURES, endpoints].
        """
        measures = self._known.get((pool, upstream_model))
        if measures is None:
            return None, None
        lines = np.array([measure.line.coefficients for measure in measures])
        seconds: NDArray[np.float64] = lines[:, :FEATURES] @ features
        if lines[:, _OVER].any():
            places = self._places.get((pool, upstream_model))
            waiting, others = features[1], features[2]
            over = waiting if places is None else np.maximum(waiting + others + 1.0 - places, 0.0)
            seconds += lines[:, _OVER:] * over
        seconds *= measures[0].factors.of(rows, generations)
        np.maximum(seconds, _LEAST_SECONDS, out=seconds)
        first, further = (
            _predicted(measure, of_time, quantile) for measure, of_time in zip(measures, seconds, strict=True)
        )
        return first, further

    def known_of(
        self, pool: str, upstream_model: str, rows: NDArray[np.intp], generations: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """How much is known of some servers, in answers of late."""
        measures = self._known.get((pool, upstream_model))
        return np.zeros(len(rows)) if measures is None else measures[0].factors.seen(rows, generations)


def _predicted(measure: _Measure, seconds: NDArray[np.float64], quantile: float) -> Predicted | None:
    if measure.seen < _LEAST_SEEN:
        return None
    by_queue = measure.line is measure.queue
    return Predicted(seconds, measure.spread.factor(quantile), measure.seen, by_queue)
