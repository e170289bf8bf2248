"""Sample lines of a Prometheus text page, given what follows the metric's name in each."""

import math
import re
from collections.abc import Iterable

from pilotage_extproc.sources.engines import Ranks

_VALUES = re.compile(rb"\} (\S+)[^\n]*")


class PageError(ValueError):
    """A page without the metrics its engine must have, or with nonsense in them."""


def number(rest: bytes) -> float:
    """The value of a line: `{labels} value [timestamp]`. Raises PageError unless it is finite."""
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


def label(rest: bytes, name: bytes) -> bytes:
    """A label's value, empty where there is none; escapes in it are left as they are."""
    found = re.search(rb'[{,]%b="([^"]*)"' % name, rest)
    return found[1] if found else b""


def whole(text: bytes) -> int | None:
    """A count in a label; None where it is none, such as `None`."""
    return int(text) if text.isdigit() and len(text) < 12 else None


def latest_line(block: bytes) -> bytes | None:
    """The line of the largest value, where values are times; None where not every line has a value.

    There may be tens of thousands: vLLM takes none away, one for each set of LoRA adapters that ever ran
    or waited together.
    """
    lines, times = block.split(b"\n"), _VALUES.findall(block)
    if len(lines) != len(times):
        return None
    try:
        values = [-math.inf if math.isnan(value) else value for value in map(float, times)]
    except ValueError:
        return None
    return lines[max(range(len(lines)), key=values.__getitem__)]


def by_rank(lines: Iterable[bytes], ranks: Ranks) -> dict[bytes, float]:
    """One value for each data-parallel rank, out of all lines of a metric. Raises PageError.

    Of lines that show the same thing (one for each tensor-parallel rank) the largest counts: they are
    written one after the other.
    """
    totals: dict[tuple[bytes, bytes], float] = {}
    sums: dict[tuple[bytes, bytes], float] = {}
    split = re.compile(rb'[{,]%b="[^"]*"' % ranks.part)
    for line in lines:
        value = number(line)
        # what is left of the line's labels tells whose figure this is
        whose = (label(line, ranks.data_parallel), split.sub(b"", line[: line.rfind(b"}") + 1]))
        if label(line, ranks.part):
            sums[whose] = sums.get(whose, 0.0) + value
        else:
            totals[whose] = value
    found: dict[bytes, float] = {}
    for (rank, _), value in {**sums, **totals}.items():
        found[rank] = max(found.get(rank, value), value)
    return found
