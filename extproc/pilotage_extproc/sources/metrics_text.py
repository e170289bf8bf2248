"""Read a few lines out of a Prometheus text page without parsing the page: a vLLM page is 52 KB."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pilotage_extproc.sources.engines import EngineMetrics, Metric


class PageError(ValueError):
    """A page without the metrics its engine must have, or with nonsense in them."""


@dataclass(slots=True, frozen=True)
class Load:
    """How busy an engine says it is."""

    waiting: float
    running: float
    kv_usage: float
    """0 to 1; NaN where the page has none."""


def read_load(page: bytes, metrics: EngineMetrics) -> Load:
    """The load out of a page. Raises PageError."""
    waiting = list(_values(page, metrics.waiting))
    running = list(_values(page, metrics.running))
    if not waiting or not running:
        missing = metrics.waiting if not waiting else metrics.running
        raise PageError(f"the page has no {missing.name.decode()}")
    usage = list(_values(page, metrics.kv_usage))
    return Load(
        _count(waiting), _count(running), min(1.0, max(0.0, sum(usage) / len(usage))) if usage else math.nan
    )


def _count(values: list[float]) -> float:
    total = sum(values)
    if total < 0:
        raise PageError("a request count is negative")
    return total


def _values(page: bytes, metric: Metric) -> Iterator[float]:
    """Values of all series of a metric."""
    name = metric.name
    line_start = b"\n" + name
    at = 0 if page.startswith(name) else page.find(line_start) + 1 or len(page)
    while at < len(page):
        after = at + len(name)
        end = page.find(b"\n", after)
        end = len(page) if end < 0 else end
        if page[after : after + 1] in (b"{", b" ") and (
            metric.label is None or page.find(metric.label, after, end) >= 0
        ):
            yield _number(page[after:end])
        at = page.find(line_start, after) + 1 or len(page)


def _number(rest: bytes) -> float:
    """The value of a sample line, given what follows the name: `{labels} value [timestamp]`."""
    close = rest.rfind(b"}") + 1
    fields = rest[close:].split()
    try:
        value = float(fields[0])
    except (IndexError, ValueError):
        raise PageError("a sample line has no value") from None
    if not math.isfinite(value):
        raise PageError("a sample is not a finite number")
    return value
