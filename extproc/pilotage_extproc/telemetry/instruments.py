"""Counters and histograms that cost a dictionary or list access, exposed through prometheus-client.

prometheus-client's own instruments take a lock and look labels up on each call: several
microseconds a request. All updates here come from one event loop, so plain integers do.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

OTHER = "other"
"""Label value that stands for all past an instrument's bound."""


class Count:
    """A counter by label values. Past `bound` distinct series the rest share one, labelled `other`."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = (), *, bound: int = 200) -> None:
        self.name, self.text, self.labels = name, text, tuple(labels)
        self._bound = bound
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, *values: str, by: float = 1) -> None:
        """Count `by` more of the series with these label values."""
        try:
            self._values[values] += by
        except KeyError:
            if len(self._values) >= self._bound:
                values = (OTHER,) * len(self.labels)
            self._values[values] = self._values.get(values, 0) + by

    def value(self, *values: str) -> float:
        """The count so far."""
        return self._values.get(values, 0)

    def family(self) -> Metric:
        """As prometheus-client exposes it."""
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for values, count in list(self._values.items()):
            family.add_metric(values, count)
        return family


class Series:
    """The measurements of one label value."""

    __slots__ = ("_buckets", "counts", "total")

    def __init__(self, buckets: tuple[float, ...]) -> None:
        self._buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Take one measurement."""
        self.counts[bisect_left(self._buckets, seconds)] += 1
        self.total += seconds


class Distribution:
    """A histogram of seconds by one label of few values."""

    def __init__(self, name: str, text: str, buckets: Sequence[float], label: str | None = None) -> None:
        self.name, self.text, self.label = name, text, label
        self._buckets = tuple(buckets)
        self._series: dict[str, Series] = {}

    def series(self, label: str = "") -> Series:
        """Of one label value, for whoever measures often."""
        found = self._series.get(label)
        if found is None:
            found = self._series[label] = Series(self._buckets)
        return found

    def observe(self, seconds: float, series: str = "") -> None:
        """Take one measurement."""
        self.series(series).observe(seconds)

    def count(self, series: str = "") -> int:
        """How many measurements so far."""
        found = self._series.get(series)
        return sum(found.counts) if found else 0

    def family(self) -> Metric:
        """As prometheus-client exposes it."""
        family = HistogramMetricFamily(self.name, self.text, labels=[self.label] if self.label else [])
        bounds = [*(str(bound) for bound in self._buckets), "+Inf"]
        for label, series in list(self._series.items()):
            running, cumulative = 0, []
            for bound, count in zip(bounds, series.counts, strict=True):
                running += count
                cumulative.append((bound, running))
            family.add_metric([label] if self.label else [], cumulative, series.total)
        return family


class Reading:
    """A gauge that is read when scraped; `read` gives the value by label values."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        read: Callable[[], Mapping[tuple[str, ...], float]],
    ) -> None:
        self.name, self.text, self.labels, self._read = name, text, tuple(labels), read

    def family(self) -> Metric:
        """As prometheus-client exposes it."""
        family = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        for values, value in self._read().items():
            family.add_metric(values, value)
        return family


Instrument = Count | Distribution | Reading


class InstrumentCollector(Collector):
    """Lets a prometheus-client registry expose instruments."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._instruments = list(instruments)

    def add(self, instrument: Instrument) -> None:
        """Expose one more."""
        self._instruments.append(instrument)

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus-client at each scrape."""
        for instrument in self._instruments:
            yield instrument.family()
