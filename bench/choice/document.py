"""Results as tables of docs/choice.md and as a picture, made of the result files alone."""

import json
import re
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = _ROOT / "bench" / "results"
DOCUMENT: Final = _ROOT / "docs" / "choice.md"
PICTURE: Final = _ROOT / "docs" / "images" / "choice-front.svg"
_BLOCK: Final = re.compile(r"(<!-- choice: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_OURS: Final = "pilotage"
_LETTER, _LINE = 7.6, 14.0
"""Room for a letter of the widest usual fonts, and for a line."""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 760, 420, 60, 50


def write_documents() -> None:
    """Renew the tables and the picture."""
    tables = {"fleet": _fleet, "latency": _latency, "decisions": _decisions, "budgets": _budgets}
    results = {name: json.loads((RESULTS / f"choice-{name}.json").read_text()) for name in tables}
    made = {name: table(results[name]) for name, table in tables.items()}
    text = _BLOCK.sub(lambda block: f"{block[1]}{made[block[2]]}{block[3]}", DOCUMENT.read_text())
    DOCUMENT.write_text(text)
    PICTURE.write_text(_picture(results["fleet"]["points"]))


def _table(headings: list[str], rows: list[list[str]]) -> str:
    line = "|".join(["", "---", *["---:"] * (len(headings) - 1), ""])
    return "\n".join(f"| {' | '.join(row)} |" if row else line for row in (headings, [], *rows)) + "\n"


def _fleet(found: dict[str, Any]) -> str:
    rows = [
        [
            one["router"],
            f"{one['right'][0]:.3f} ± {one['right'][1]:.3f}",
            f"{one['usd'][0] * 1000:.2f} ± {one['usd'][1] * 1000:.2f}",
            f"{one['strong']:.2f}",
            f"{one['rightPerUsd']:,.0f}",
        ]
        for one in found["points"]
    ]
    headings = ["router", "right and in time", "USD per 1,000", "to the strong", "right in time per USD"]
    verdicts = "".join(f"- {text[0].upper()}{text[1:]}.\n" for text in found["verdicts"])
    return f"{_table(headings, rows)}\n{verdicts}"


def _latency(found: dict[str, Any]) -> str:
    rows = [
        [
            str(row["seed"]),
            f"{row['count']:,}",
            f"{row['error'] * 1000:.0f} ms",
            f"{row['queue_error'] * 1000:.0f} ms",
            f"{row['gain']:.0%}",
            f"{row['coverage']:.3f}",
        ]
        for row in found["rows"]
    ]
    return _table(
        ["seed", "first tokens", "mean absolute error", "by the queue alone", "less by", "came by the p90"],
        rows,
    )


def _decisions(found: dict[str, Any]) -> str:
    rows = [
        [
            f"{row['models']} models, {row['budgets']} budgets, {row['endpoints']:,} endpoints",
            f"{row['choice_seconds'] * 1000:.2f} ms",
            f"{row['ordered_seconds'] * 1000:.2f} ms",
            f"{row['choice_seconds'] / row['ordered_seconds']:.1f}",
        ]
        for row in found["rows"]
    ]
    return _table(["fleet", "choice, CPU", "ordered decision, CPU", "ratio"], rows)


def _budgets(found: dict[str, Any]) -> str:
    by_budget: dict[str, dict[str, dict[str, Any]]] = {}
    for one in found["options"]:
        by_budget.setdefault("none" if one["budget"] is None else str(one["budget"]), {})[one["model"]] = one
    options = _table(
        ["clamp at", "weak: right", "USD per 1,000", "strong: right", "USD per 1,000"],
        [
            [
                budget,
                *(
                    cell
                    for model in ("weak", "strong")
                    for cell in (f"{of[model]['right']:.3f}", f"{of[model]['usdPerThousand']:.3f}")
                ),
            ]
            for budget, of in by_budget.items()
        ],
    )
    joint = _table(
        ["USD per 1,000", "model alone: right", "model and budget: right", "difference (95%)"],
        [
            [
                f"{one['alone']['usdPerThousand']:.2f}",
                f"{one['alone']['right']:.3f}",
                f"{one['joint']['right']:.3f}",
                f"{one['gain'][0]:+.4f} to {one['gain'][1]:+.4f}",
            ]
            for one in found["atEqualCost"]
        ],
    )
    return f"{options}\n{joint}"


class _Labels:
    """Puts names beside their points: none over another, none beyond the edge."""

    def __init__(self) -> None:
        self._boxes: list[tuple[float, float, float]] = []

    def beside(self, x: float, y: float, name: str) -> str:
        """The name of a point, right of it where there is room, and lower where another one stands."""
        wide = _LETTER * len(name)
        begin = x + 9 if x + 9 + wide < _WIDTH else x - 9 - wide
        low = y + 16
        while any(
            begin < end and start < begin + wide and abs(low - at) < _LINE for start, end, at in self._boxes
        ):
            low += _LINE
        self._boxes.append((begin, begin + wide, low))
        place = f'x="{x + 9:.1f}"' if begin > x else f'x="{x - 9:.1f}" class="end"'
        return f'<text {place} y="{low:.1f}">{name.replace(">", "&gt;")}</text>'


def _picture(points: list[dict[str, Any]]) -> str:
    most = max(one["usd"][0] + one["usd"][1] for one in points) * 1.08
    highest = max(one["right"][0] + one["right"][1] for one in points) * 1.08

    def place(usd: float, right: float) -> tuple[float, float]:
        x = _LEFT + usd / most * (_WIDTH - _LEFT - 20)
        return x, _HEIGHT - _BOTTOM - right / highest * (_HEIGHT - _BOTTOM - 20)

    parts = []
    for share in (tenth / 10 for tenth in range(0, int(highest * 10) + 1, 2)):
        _, y = place(0, share)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - 20}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" class="end">{share:.1f}</text>')
    for step in range(int(most * 1000) + 1):
        x, y = place(step / 1000, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" class="mid">{step}</text>')
    ours = sorted((one for one in points if one["router"].startswith(_OURS)), key=lambda one: one["usd"][0])
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(one["usd"][0], one["right"][0]) for one in ours))
    parts.append(f'<polyline points="{line}" class="front"/>')
    labels = _Labels()
    # rivals are drawn last and smaller: where both are on one spot, both are seen
    for one in sorted(points, key=lambda one: one not in ours):
        (usd, usd_half), (right, right_half) = one["usd"], one["right"]
        x, y = place(usd, right)
        left, right_end = place(usd - usd_half, right)[0], place(usd + usd_half, right)[0]
        top, low = place(usd, right + right_half)[1], place(usd, right - right_half)[1]
        kind = "own" if one in ours else "other"
        parts.append(
            f'<path d="M{left:.1f} {y:.1f}H{right_end:.1f}M{x:.1f} {top:.1f}V{low:.1f}" class="{kind}"/>'
        )
        radius = 4.5 if one in ours else 3
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{kind}"/>')
        if one not in ours:
            parts.append(labels.beside(x, y, one["router"]))
    legend = "USD per 1,000 questions (line: Pilotage by weights; bars: 95%)"
    middle = _LEFT + (_WIDTH - _LEFT) / 2
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">
<title>Answers that are right and in time, by money</title>
<style>text{{font:12px system-ui,sans-serif;fill:#1c2433}}.end{{text-anchor:end}}.mid{{text-anchor:middle}}
.grid{{stroke:#d5dbe6}}.front{{fill:none;stroke:#2a4d8f;stroke-width:2}}path{{fill:none;stroke-width:1.2}}
path.own{{stroke:#2a4d8f}}circle.own{{fill:#2a4d8f}}path.other{{stroke:#a0442c}}circle.other{{fill:#a0442c}}</style>
<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>
{chr(10).join(parts)}
<text x="{middle}" y="{_HEIGHT - 8}" class="mid">{legend}</text>
<text x="14" y="{_HEIGHT / 2}" transform="rotate(-90 14 {_HEIGHT / 2})" class="mid">right and in time</text>
</svg>
"""
