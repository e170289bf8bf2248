"""Small plots as SVG text: no dependency, the same bytes for the same figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

COLOURS = {
    "round-robin": "#9aa0a6",
    "least-request": "#4285a8",
    "pilotage": "#d9722b",
    "prefix-hash": "#7a9a3a",
}
_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 46, 42
_STYLE = "font-family:sans-serif;font-size:12px;fill:#444"


@dataclass(frozen=True, slots=True)
class Point:
    """A figure and its range over the seeds."""

    x: float
    mean: float
    least: float
    most: float


def _tag(name: str, content: str | None = None, **attributes: float | str) -> str:
    told = "".join(
        f' {key.replace("_", "-")}="{value if isinstance(value, str) else f"{value:.1f}"}"'
        for key, value in attributes.items()
    )
    return f"<{name}{told}/>" if content is None else f"<{name}{told}>{escape(content)}</{name}>"


@dataclass(frozen=True, slots=True)
class _Scale:
    """Values to pixels, logarithmic upwards."""

    low: float
    high: float

    def y(self, value: float) -> float:
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def ticks(self) -> list[float]:
        first = math.floor(math.log10(self.low))
        last = math.ceil(math.log10(self.high))
        steps = (1, 2, 5) if last - first <= 2 else (1, 3)
        every = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        return [value for value in every if self.low <= value <= self.high]


def _scale(points: Sequence[Point]) -> _Scale:
    low = min(point.least for point in points if point.least > 0)
    high = max(point.most for point in points)
    return _Scale(low * 0.8, max(high, low * 1.5) * 1.2)


def _frame(title: str, names: Sequence[str], scale: _Scale, unit: str) -> list[str]:
    parts = [_tag("text", title, x=_LEFT, y=16, style=_STYLE + ";font-weight:bold")]
    at = float(_LEFT)
    for name in names:
        parts.append(_tag("rect", x=at, y=24, width=10, height=10, fill=COLOURS[name]))
        parts.append(_tag("text", name, x=at + 14, y=33, style=_STYLE))
        at += 30 + 7 * len(name)
    for value in scale.ticks():
        y = scale.y(value)
        parts.append(_tag("line", x1=_LEFT, y1=y, x2=_WIDTH - _RIGHT, y2=y, stroke="#e4e4e4"))
        told = f"{value:g}"
        parts.append(_tag("text", told, x=_LEFT - 6, y=y + 4, style=_STYLE, text_anchor="end"))
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    turned = f"rotate(-90 14 {middle:.1f})"
    parts.append(_tag("text", unit, x=14, y=middle, style=_STYLE, text_anchor="middle", transform=turned))
    return parts


def _document(parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
    head += f'viewBox="0 0 {_WIDTH} {_HEIGHT}">'
    background = _tag("rect", width=_WIDTH, height=_HEIGHT, fill="#ffffff")
    return "\n".join([head, background, *parts, "</svg>"]) + "\n"


def bars(title: str, unit: str, groups: Sequence[tuple[str, Sequence[tuple[str, Point]]]]) -> str:
    """Groups of bars with their ranges; upwards logarithmic."""
    scale = _scale([point for _, bars in groups for _, point in bars])
    names = list(dict.fromkeys(name for _, bars in groups for name, _ in bars))
    parts = _frame(title, names, scale, unit)
    room = (_WIDTH - _LEFT - _RIGHT) / max(1, len(groups))
    base = _HEIGHT - _BOTTOM
    for number, (group, members) in enumerate(groups):
        width = room * 0.8 / max(1, len(members))
        start = _LEFT + room * number + room * 0.1
        for index, (name, point) in enumerate(members):
            x, top = start + index * width, scale.y(point.mean)
            parts.append(_tag("rect", x=x, y=top, width=width - 2, height=base - top, fill=COLOURS[name]))
            parts.append(_range(x + width / 2 - 1, scale, point))
        label_at = start + room * 0.4
        parts.append(_tag("text", group, x=label_at, y=base + 16, style=_STYLE, text_anchor="middle"))
    return _document(parts)


def lines(title: str, unit: str, across: str, series: Sequence[tuple[str, Sequence[Point]]]) -> str:
    """Lines over a common axis, with ranges; upwards logarithmic."""
    points = [point for _, line in series for point in line]
    scale = _scale(points)
    parts = _frame(title, [name for name, _ in series], scale, unit)
    most = max(point.x for point in points)

    def x_of(point: Point) -> float:
        return _LEFT + 14 + point.x / most * (_WIDTH - _LEFT - _RIGHT - 28)

    base = _HEIGHT - _BOTTOM
    for value, x in sorted({(point.x, x_of(point)) for point in points}):
        parts.append(_tag("text", f"{value:g}", x=x, y=base + 15, style=_STYLE, text_anchor="middle"))
    centre = (_WIDTH + _LEFT) / 2
    parts.append(_tag("text", across, x=centre, y=base + 33, style=_STYLE, text_anchor="middle"))
    for name, line in series:
        path = " ".join(f"{x_of(point):.1f},{scale.y(point.mean):.1f}" for point in line)
        parts.append(_tag("polyline", points=path, fill="none", stroke=COLOURS[name], stroke_width="2"))
        for point in line:
            x = x_of(point)
            parts.append(_tag("circle", cx=x, cy=scale.y(point.mean), r=3, fill=COLOURS[name]))
            parts.append(_range(x, scale, point))
    return _document(parts)


def _range(x: float, scale: _Scale, point: Point) -> str:
    return _tag("line", x1=x, y1=scale.y(point.least), x2=x, y2=scale.y(point.most), stroke="#333")
