"""Cost-quality curves as an SVG picture."""

from typing import Final
from xml.sax.saxutils import escape

import numpy as np

from pilotage_cli.evaluation.evaluate import ROUTER, Evaluation

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 20, 50
_POINTS: Final = 101
_COLOURS: Final = {ROUTER: "#0072b2", "domain-only": "#e69f00", "random": "#999999", "oracle": "#009e73"}
_UNITS: Final = {
    "usd": "US dollars a prompt",
    "tokens": "output tokens a prompt",
    "calls": "share of strong calls",
}


def curves_svg(evaluation: Evaluation) -> str:
    """Mean cost to the right, quality upwards; always-weak and always-strong are points."""
    curves = evaluation.curves
    costs = np.concatenate([one.cost for one in curves.values()])
    qualities = np.concatenate([one.quality for one in curves.values()])
    begin, end = float(costs.min()), float(costs.max())
    low, high = float(qualities.min()), float(qualities.max())

    def x(cost: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (cost - begin) / ((end - begin) or 1.0)

    def y(quality: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (quality - low) / ((high - low) or 1.0)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for share in np.linspace(0, 1, 5):
        cost, quality = begin + share * (end - begin), low + share * (high - low)
        parts.append(
            f'<path d="M{_LEFT} {y(quality):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 8}" y="{y(quality) + 4:.1f}" text-anchor="end">{quality:.3f}</text>'
            f'<text x="{x(cost):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{cost:.3g}</text>'
        )
    for place, (name, curve) in enumerate(curves.items()):
        at = np.linspace(0, len(curve.calls) - 1, _POINTS).astype(int)
        line = " ".join(f"{x(curve.cost[one]):.1f},{y(curve.quality[one]):.1f}" for one in at)
        colour, top = _COLOURS.get(name, "#000"), _TOP + 18 * place + 10
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<line x1="{_WIDTH - _RIGHT + 12}" x2="{_WIDTH - _RIGHT + 32}" y1="{top}" y2="{top}" '
            f'stroke="{colour}" stroke-width="2"/>'
            f'<text x="{_WIDTH - _RIGHT + 38}" y="{top + 4}">{escape(name)}</text>'
        )
    answers = evaluation.answers
    for name, cost, quality in (
        ("always-weak", answers.weak_cost.mean(), answers.weak.mean()),
        ("always-strong", answers.strong_cost.mean(), answers.strong.mean()),
    ):
        at_point = f'cx="{x(float(cost)):.1f}" cy="{y(float(quality)):.1f}"'
        parts.append(f'<circle {at_point} r="4"><title>{name}</title></circle>')
    middle, unit = (_LEFT + _WIDTH - _RIGHT) / 2, _UNITS[answers.cost_unit]
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{unit}</text>')
    turned = f'transform="rotate(-90 16 {_HEIGHT / 2})"'
    parts.append(f'<text x="16" y="{_HEIGHT / 2}" text-anchor="middle" {turned}>quality</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
