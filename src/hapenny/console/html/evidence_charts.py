"""Two plots as SVG, readable by eye and by screen reader: intervals of an experiment, cost against quality."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from html import escape

from hapenny.evidence.analysis import Effect

_WIDTH, _LEFT, _RIGHT = 720, 150, 250
_GRID = "#e7e1d8"
_LETTER = 6.6
"""Width of a letter of a label, pixels."""


def said(effect: Effect) -> str:
    """A difference with its interval, in words and figures."""
    if not math.isfinite(effect.high - effect.low):
        return f"{effect.difference:+.4g}, no interval yet"
    return f"{effect.difference:+.4g} [{effect.low:.4g}, {effect.high:.4g}]"


def intervals(effects: Sequence[Effect], title: str) -> str:
    """One line per effect with its interval and zero. Metrics have units of their own, so each line has a scale of its
    own; the figures stand beside it. Green: sure to be better or worse than zero. No interval: not enough seen yet."""
    height = 60 + 34 * len(effects)
    middle = _LEFT + (_WIDTH - _LEFT - _RIGHT) / 2
    half = (_WIDTH - _LEFT - _RIGHT) / 2
    parts = [_open(height, title), _line(middle, 40, middle, height - 14, "#999", "4 3")]
    for i, one in enumerate(effects):
        y = 58 + 34 * i
        known = [abs(v) for v in (one.low, one.high, one.difference) if math.isfinite(v)]
        reach = max([*known, 1e-12]) * 1.1
        sure = one.low > 0 or one.high < 0
        colour = "#0b6e4f" if sure else "#555"
        text = said(one)
        parts.append(f'<text x="8" y="{y + 4}">{escape(one.metric)} {escape(one.arm)}</text>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 16}" y="{y + 4}" fill="{colour}">{escape(text)}</text>')
        if math.isfinite(one.high - one.low):
            ends = (middle + half * one.low / reach, middle + half * one.high / reach)
            parts.append(_line(ends[0], y, ends[1], y, colour))
        parts.append(_dot(middle + half * one.difference / reach, y, colour, colour, text))
    return "".join([*parts, "</svg>"])


def pareto(points: Sequence[tuple[str, float, float, bool]], title: str) -> str:
    """Models by cost (log scale, dollars a prompt) and quality; those on the front filled and joined."""
    height, left, right, top, bottom = 420, 64, 24, 56, 56
    costs = [max(cost, 1e-9) for _, cost, _, _ in points]
    low, high = math.log10(min(costs)) - 0.15, math.log10(max(costs)) + 0.15
    worst, best = min(q for _, _, q, _ in points), max(q for _, _, q, _ in points)
    room = max(best - worst, 0.02) * 0.12
    worst, best = worst - room, best + room

    def at(cost: float, quality: float) -> tuple[float, float]:
        x = left + (math.log10(max(cost, 1e-9)) - low) / (high - low) * (_WIDTH - left - right)
        return x, top + (best - quality) / (best - worst) * (height - top - bottom)

    parts = [_open(height, title), '<text x="8" y="44">quality</text>']
    parts.append(f'<text x="{_WIDTH // 2 - 60}" y="{height - 12}">dollars a prompt (log)</text>')
    step = next(each for each in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (best - worst) / each <= 7)
    for tick in range(math.ceil(worst / step), math.floor(best / step) + 1):
        y = at(costs[0], tick * step)[1]
        parts.append(_line(left, y, _WIDTH - right, y, _GRID))
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#666">{tick * step:.2f}</text>')
    for power in range(math.floor(low), math.ceil(high) + 1):
        for unit in (1, 2, 5):
            if low <= math.log10(unit) + power <= high:
                x = at(unit * 10.0**power, worst)[0]
                parts.append(_line(x, top, x, height - bottom, _GRID))
                shown = f"{unit * 10.0**power:.10f}".rstrip("0")
                parts.append(
                    f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle" fill="#666">{shown}</text>'
                )
    front = sorted((cost, quality) for _, cost, quality, on in points if on)
    for (c1, q1), (c2, q2) in itertools.pairwise(front):
        parts.append(_line(*at(c1, q1), *at(c2, q2), "#0b6e4f", "5 4"))
    taken: list[tuple[float, float, float]] = []
    for name, cost, quality, on in sorted(points, key=lambda point: -point[2]):
        x, y = at(cost, quality)
        words = f"{name}: quality {quality:.3f}, ${cost:.6f}"
        parts.append(_dot(x, y, "#0b6e4f" if on else "#fff", "#0b6e4f", words))
        wide = len(name) * _LETTER
        start = x + 9 if x + 9 + wide < _WIDTH - 4 else x - 9 - wide
        line = y + 4
        while any(abs(line - other) < 13 and start < end and begin < start + wide for begin, end, other in taken):
            line += 3
        taken.append((start, start + wide, line))
        parts.append(f'<text x="{start:.1f}" y="{line:.1f}">{escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def _open(height: int, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="8" y="20" font-size="14" font-weight="bold">{escape(title)}</text>'
    )


def _dot(x: float, y: float, fill: str, stroke: str, words: str) -> str:
    title = f"<title>{escape(words)}</title>"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="{stroke}">{title}</circle>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    wide = 1 if colour == _GRID else 2
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{wide}"{dashes}/>'
