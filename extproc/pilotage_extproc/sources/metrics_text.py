"""Read a few lines out of a Prometheus text page without parsing the page: a vLLM page is 52 KB."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pilotage_extproc.sources.engines import (
    STARTED_AT,
    CacheLabels,
    CacheValues,
    EngineMetrics,
    Metric,
)
from pilotage_extproc.sources.sample_lines import PageError, by_rank, label, latest_line, number, whole

_SAMPLE_AFTER = (b"{", b" ")
_MOST_LINES = 1024
"""Of one metric: data-parallel ranks."""
_MOST_ADAPTERS = 256
"""As many as a pool may name."""
_MOST_REQUESTS = 1e9
_HINT_SLACK_BYTES = 2048
"""How much shorter a page may have become before a line."""


@dataclass(slots=True, frozen=True)
class Load:
    """How busy an engine says it is."""

    waiting: float
    running: float
    kv_usage: float
    """0 to 1; NaN where the page has none."""


NO_CACHE: Final = 0.0
"""Tokens in the prefix cache of an engine that keeps none."""


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
        waiting, running = self._values(page, metrics.waiting), self._values(page, metrics.running)
        if not waiting or not running:
            missing = metrics.waiting if not waiting else metrics.running
            raise PageError(f"the page has no {missing.name.decode()}")
        return Load(_count(waiting), _count(running), self._share(page, metrics.kv_usage))

    def _share(self, page: bytes, metric: Metric) -> float:
        """A mean of shares; NaN where there is none that is a number: the counts are worth having alone."""
        try:
            values = self._values(page, metric).values()
        except PageError:
            return math.nan
        return min(1.0, max(0.0, sum(values) / len(values))) if values else math.nan

    def started_at(self, page: bytes) -> float | None:
        """When the server's process started, if the page says so."""
        try:
            return next((number(line) for line in self._lines(page, STARTED_AT)), None)
        except PageError:
            return None

    def cache_tokens(self, page: bytes) -> float | None:
        """Tokens the prefix cache holds, over all data-parallel ranks; None is unknown.

        0 is an engine that caches no prefixes. Unknown too while any rank does not say: vLLM counts its
        blocks some time after its first pages.
        """
        for cache in self._metrics.cache:
            try:
                found = (
                    self._cache_labels(page, cache)
                    if isinstance(cache, CacheLabels)
                    else self._cache_values(page, cache)
                )
            except PageError:
                continue
            if found is not None:
                return found
        return None

    def _cache_labels(self, page: bytes, cache: CacheLabels) -> float | None:
        total, ranks = 0.0, 0
        for line in self._lines(page, cache.info):
            if cache.enabled is not None and label(line, cache.enabled) == b"False":
                return NO_CACHE
            tokens = None if cache.tokens is None else whole(label(line, cache.tokens))
            if not tokens:
                size, count = whole(label(line, cache.block_tokens)), whole(label(line, cache.blocks))
                tokens = size * count if size and count else None
            if not tokens:
                return None
            total += tokens
            ranks += 1
        return total if ranks else None

    def _cache_values(self, page: bytes, cache: CacheValues) -> float | None:
        sizes, counts = self._values(page, cache.block_tokens), self._values(page, cache.blocks)
        total = sum(size * counts[rank] for rank, size in sizes.items() if rank in counts)
        return total if total > 0 else None

    def adapters(self, page: bytes) -> Adapters | None:
        """The LoRA adapters in use, if the page says so: what its latest line says."""
        metric = self._metrics.adapters
        if metric is None:
            return None
        latest = latest_line(self._block(page, metric))
        if latest is None:
            return None
        running, waiting = (
            tuple(
                name
                for name in label(latest, names).decode("utf-8", "replace").split(",", _MOST_ADAPTERS)
                if name
            )
            for names in (b"running_lora_adapters", b"waiting_lora_adapters")
        )
        return Adapters(
            min(_MOST_ADAPTERS, whole(label(latest, b"max_lora")) or 0),
            running[:_MOST_ADAPTERS],
            waiting[:_MOST_ADAPTERS],
        )

    def _values(self, page: bytes, metric: Metric) -> dict[bytes | int, float]:
        """Values of a metric by data-parallel rank. Raises PageError."""
        ranks = self._metrics.ranks
        lines = self._lines(page, metric)
        if ranks is None:
            return {position: number(line) for position, line in enumerate(lines)}
        return dict[bytes | int, float](by_rank(lines, ranks).items())

    def _block(self, page: bytes, metric: Metric) -> bytes:
        """All sample lines of a metric at once, empty where there are none: faster than one by one."""
        first = self._first(page, metric.name)
        if first < 0:
            return b""
        last = max(first, page.rfind(b"\n" + metric.name, first) + 1)
        end = page.find(b"\n", last)
        return page[first : len(page) if end < 0 else end]

    def _lines(self, page: bytes, metric: Metric) -> Iterator[bytes]:
        """What follows the name in each sample line; all samples of a metric stand together.

        Raises PageError where there are too many.
        """
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


def _count(values: Mapping[bytes | int, float]) -> float:
    total = sum(values.values())
    if not 0 <= total < _MOST_REQUESTS:
        raise PageError("a request count is negative, or more than any engine holds")
    return total
