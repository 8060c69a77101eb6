"""Cost against quality as inline SVG: who is on the front (nobody is both cheaper and better) is filled and joined."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 330, 58, 24, 16, 44
_LETTER = 6.9


class Point(NamedTuple):
    """A model: dollars a request, quality with its interval."""

    name: str
    cost: float
    quality: float
    low: float
    high: float


def front(points: Sequence[Point]) -> list[Point]:
    """Those that nobody beats in both, the cheapest first."""
    best, kept = -1.0, []
    for point in sorted(points, key=lambda each: (each.cost, -each.quality)):
        if point.quality > best:
            best = point.quality
            kept.append(point)
    return kept


def scatter(points: Sequence[Point], title: str) -> str:
    """The drawing; cost on a logarithmic axis."""
    if not points:
        return '<p class="none">No model of this range has both a price and scored answers.</p>'
    costs = [max(point.cost, 1e-9) for point in points]
    low, high = math.log10(min(costs)) - 0.2, math.log10(max(costs)) + 0.35
    worst = max(0.0, min(point.low for point in points) - 0.01)
    best = min(1.0, max(point.high for point in points) + 0.01)

    def x(cost: float) -> float:
        return _LEFT + (math.log10(max(cost, 1e-9)) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(quality: float) -> float:
        return _TOP + (best - quality) / max(best - worst, 1e-6) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
    step = next(each for each in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (best - worst) / each <= 6)
    for tick in range(math.ceil(worst / step - 1e-9), math.floor(best / step + 1e-9) + 1):
        at = y(tick * step)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{at:.1f}" x2="{_WIDTH - _RIGHT}" y2="{at:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{100 * tick * step:.3g} %</text>'
        )
    for power, unit in itertools.product(range(math.floor(low), math.ceil(high) + 1), (1, 2, 5)):
        if low <= math.log10(unit) + power <= high:
            at = x(unit * 10.0**power)
            label = f"{unit * 10.0**power:.9f}".rstrip("0").rstrip(".")
            parts.append(
                f'<line class="grid" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{_HEIGHT - _BOTTOM}"/>'
                f'<text class="tick" x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">${label}</text>'
            )
    parts.append(
        f'<text class="tick" x="{(_WIDTH + _LEFT) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">a request'
        " (logarithmic); up is better, left is cheaper</text>"
    )
    kept = front(points)
    for one, other in itertools.pairwise(kept):
        parts.append(
            f'<line class="join" x1="{x(one.cost):.1f}" y1="{y(one.quality):.1f}" x2="{x(other.cost):.1f}"'
            f' y2="{y(other.quality):.1f}"/>'
        )
    taken: list[tuple[float, float, float]] = []
    for point in sorted(points, key=lambda each: (-each.quality, each.cost)):
        at, level, on = x(point.cost), y(point.quality), point in kept
        wide = len(point.name) * _LETTER
        left = at + 12 + wide > _WIDTH
        start = at - 11 - wide if left else at + 11
        line = level + 4
        while any(abs(line - other) < 15 and start < end and begin < start + wide for begin, end, other in taken):
            line += 4
        taken.append((start, start + wide, line))
        parts.append(
            f"<g><title>{escape(point.name)}: {point.quality:.1%} [{point.low:.1%} to {point.high:.1%}] at"
            f' ${point.cost:.6f} a request</title><line class="whisker" x1="{at:.1f}" y1="{y(point.low):.1f}"'
            f' x2="{at:.1f}" y2="{y(point.high):.1f}"/>'
            f'<circle class="{"point on" if on else "point"}" cx="{at:.1f}" cy="{level:.1f}" r="6"/>'
            f'<text x="{at - 11 if left else at + 11:.1f}" y="{line:.1f}"'
            f' text-anchor="{"end" if left else "start"}">{escape(point.name)}</text></g>'
        )
    return "".join([*parts, "</svg>"])
