"""Read a few lines out of a Prometheus text page without parsing the page: a vLLM page is 52 KB."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pilotage_extproc.sources.engines import STARTED_AT, CacheLabels, EngineMetrics, Metric

_SAMPLE_AFTER = (b"{", b" ")
_MOST_LINES = 1024
"""Of one metric: data-parallel ranks."""
_MOST_ADAPTERS = 256
"""As many as a pool may name."""
_MOST_REQUESTS = 1e9
_HINT_SLACK_BYTES = 2048
"""How much shorter a page may have become before a line."""


class PageError(ValueError):
    """A page without the metrics its engine must have, or with nonsense in them."""


@dataclass(slots=True, frozen=True)
class Load:
    """How busy an engine says it is."""

    waiting: float
    running: float
    kv_usage: float
    """0 to 1; NaN where the page has none."""


@dataclass(slots=True, frozen=True)
class Adapters:
    """What an engine says of its LoRA adapters."""

    slots: int
    running: tuple[str, ...]
    waiting: tuple[str, ...]


class PageReader:
    """Reads one endpoint's pages. Remembers where lines were: they hardly move between pages."""

    def __init__(self, metrics: EngineMetrics) -> None:
        self._metrics = metrics
        self._hints: dict[bytes, int] = {}

    def load(self, page: bytes) -> Load:
        """The load. Raises PageError."""
        metrics = self._metrics
        waiting = list(self._values(page, metrics.waiting))
        running = list(self._values(page, metrics.running))
        if not waiting or not running:
            missing = metrics.waiting if not waiting else metrics.running
            raise PageError(f"the page has no {missing.name.decode()}")
        return Load(_count(waiting), _count(running), self._share(page, metrics.kv_usage))

    def _share(self, page: bytes, metric: Metric) -> float:
        """A mean of shares; NaN where there is none that is a number: the counts are worth having alone."""
        try:
            values = list(self._values(page, metric))
        except PageError:
            return math.nan
        return min(1.0, max(0.0, sum(values) / len(values))) if values else math.nan

    def started_at(self, page: bytes) -> float | None:
        """When the server's process started, if the page says so. Raises PageError."""
        return next(self._values(page, STARTED_AT), None)

    def cache_tokens(self, page: bytes) -> float:
        """Tokens the prefix cache holds, over all data-parallel ranks; 0 is unknown. Raises PageError."""
        cache = self._metrics.cache
        if isinstance(cache, CacheLabels):
            pairs = (
                (_whole(_label(line, cache.block_tokens)), _whole(_label(line, cache.blocks)))
                for line in self._lines(page, cache.info)
            )
            return float(sum(size * count for size, count in pairs))
        sizes, counts = self._values(page, cache.block_tokens), self._values(page, cache.blocks)
        return max(0.0, sum(size * count for size, count in zip(sizes, counts, strict=False)))

    def adapters(self, page: bytes) -> Adapters | None:
        """The LoRA adapters in use, if the page says so. Raises PageError."""
        metric = self._metrics.adapters
        if metric is None:
            return None
        latest = max(self._lines(page, metric), key=_number, default=None)
        if latest is None:
            return None
        running, waiting = (
            tuple(
                name
                for name in _label(latest, label).decode("utf-8", "replace").split(",", _MOST_ADAPTERS)
                if name
            )
            for label in (b"running_lora_adapters", b"waiting_lora_adapters")
        )
        return Adapters(
            min(_MOST_ADAPTERS, _whole(_label(latest, b"max_lora"))),
            running[:_MOST_ADAPTERS],
            waiting[:_MOST_ADAPTERS],
        )

    def _values(self, page: bytes, metric: Metric) -> Iterator[float]:
        """Values of all series of a metric."""
        return (_number(line) for line in self._lines(page, metric))

    def _lines(self, page: bytes, metric: Metric) -> Iterator[bytes]:
        """What follows the name in each sample line; all samples of a metric stand together."""
        at = self._first(page, metric.name)
        lines = 0
        while at >= 0:
            lines += 1
            if lines > _MOST_LINES:
                raise PageError(f"the page has more than {_MOST_LINES} lines of {metric.name.decode()}")
            after = at + len(metric.name)
            end = page.find(b"\n", after)
            end = len(page) if end < 0 else end
            if metric.label is None or page.find(metric.label, after, end) >= 0:
                yield page[after:end]
            at = end + 1
            after = at + len(metric.name)
            if not page.startswith(metric.name, at) or page[after : after + 1] not in _SAMPLE_AFTER:
                return

    def _first(self, page: bytes, name: bytes) -> int:
        """Where the metric's first sample line begins, or -1."""
        hint = self._hints.get(name, 0)
        at = _sample_line(page, name, hint)
        # the lines before a hint are not looked at, so the first sample must come some way behind it
        if (at < 0 or at < hint + _HINT_SLACK_BYTES // 2) and hint:
            at = _sample_line(page, name, 0)
        self._hints[name] = max(0, at - _HINT_SLACK_BYTES)
        return at


def _sample_line(page: bytes, name: bytes, start: int) -> int:
    length = len(name)
    if not start and page.startswith(name) and page[length : length + 1] in _SAMPLE_AFTER:
        return 0
    line_start = b"\n" + name
    at = page.find(line_start, start)
    while at >= 0 and page[at + 1 + length : at + 2 + length] not in _SAMPLE_AFTER:
        at = page.find(line_start, at + 1 + length)
    return at + 1 if at >= 0 else -1


def _count(values: list[float]) -> float:
    total = sum(values)
    if not 0 <= total < _MOST_REQUESTS:
        raise PageError("a request count is negative, or more than any engine holds")
    return total


def _number(rest: bytes) -> float:
    """The value of a sample line, given what follows the name: `{labels} value [timestamp]`."""
    exemplar = rest.find(b" # {")
    if exemplar >= 0:  # OpenMetrics
        rest = rest[:exemplar]
    fields = rest[rest.rfind(b"}") + 1 :].split(None, 1)
    if not fields or b"_" in fields[0]:  # Python takes 1_0 for a number
        raise PageError("a sample line has no value")
    try:
        value = float(fields[0])
    except ValueError:
        raise PageError("a sample line has no value") from None
    if not math.isfinite(value):
        raise PageError("a sample is not a finite number")
    return value


def _label(rest: bytes, name: bytes) -> bytes:
    """A label's value, empty where there is none; escapes in it are left as they are."""
    found = re.search(rb'[{,]%b="([^"]*)"' % name, rest)
    return found[1] if found else b""


def _whole(text: bytes) -> int:
    """A count in a label; 0 where it is none, such as `None`."""
    return int(text) if text.isdigit() and len(text) < 12 else 0
