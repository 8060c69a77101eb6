"""Two plots as SVG, readable by eye and by screen reader: intervals of an experiment, cost against quality."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from html import escape

from hapenny.evidence.analysis import Effect

_WIDTH, _LEFT, _RIGHT = 640, 190, 24


def intervals(effects: Sequence[Effect], title: str) -> str:
    """One line per effect with its interval and zero; unbounded ends run to the edge."""
    known = [abs(v) for e in effects for v in (e.low, e.high, e.difference) if math.isfinite(v)]
    reach = max([*known, 1e-9]) * 1.1
    height = 60 + 34 * len(effects)

    def x(value: float) -> float:
        clipped = max(-reach, min(reach, value))
        return _LEFT + (clipped + reach) / (2 * reach) * (_WIDTH - _LEFT - _RIGHT)

    parts = [_open(height, title), _line(x(0), 40, x(0), height - 14, "#999", "4 3")]
    for i, one in enumerate(effects):
        y = 58 + 34 * i
        sure = one.low > 0 or one.high < 0
        colour = "#0b6e4f" if sure else "#555"
        said = f"{one.difference:+.4g} [{one.low:.4g}, {one.high:.4g}]"
        parts += [
            f'<text x="8" y="{y + 4}">{escape(one.metric)} {escape(one.arm)}</text>',
            _line(x(one.low), y, x(one.high), y, colour),
            _dot(x(one.difference), y, colour, colour, said),
        ]
    return "".join([*parts, "</svg>"])


def pareto(points: Sequence[tuple[str, float, float, bool]], title: str) -> str:
    """Models by cost (log scale, dollars a prompt) and quality; those on the front filled and joined."""
    height = 380
    costs = [max(cost, 1e-9) for _, cost, _, _ in points]
    low, high = math.log10(min(costs)) - 0.15, math.log10(max(costs)) + 0.35
    worst = min(q for _, _, q, _ in points)
    best = max(q for _, _, q, _ in points)
    room = max(best - worst, 0.02) * 0.15

    def at(cost: float, quality: float) -> tuple[float, float]:
        x = 70 + (math.log10(max(cost, 1e-9)) - low) / (high - low) * (_WIDTH - 110)
        y = 50 + (best + room - quality) / (best - worst + 2 * room) * (height - 110)
        return x, y

    parts = [_open(height, title), f'<text x="{_WIDTH // 2 - 60}" y="{height - 12}">dollars a prompt (log)</text>']
    parts.append('<text x="8" y="42">quality</text>')
    front = sorted((cost, quality) for _, cost, quality, on in points if on)
    for (c1, q1), (c2, q2) in itertools.pairwise(front):
        parts.append(_line(*at(c1, q1), *at(c2, q2), "#0b6e4f", "5 4"))
    for name, cost, quality, on in points:
        x, y = at(cost, quality)
        said = f"{name}: quality {quality:.3f}, ${cost:.6f}"
        fill = "#0b6e4f" if on else "#fff"
        parts.append(_dot(x, y, fill, "#0b6e4f", said))
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def _open(height: int, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="8" y="20" font-size="14" font-weight="bold">{escape(title)}</text>'
    )


def _dot(x: float, y: float, fill: str, stroke: str, said: str) -> str:
    title = f"<title>{escape(said)}</title>"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="{stroke}">{title}</circle>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="2"{dashes}/>'
