"""Plots that set configurations side by side: savings with their intervals, and how long answers took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from hapenny.console.html.charts import WIDTH, decades, opening, seconds, short, stroke

_KINDS = ("s0", "s3", "s4", "s2")


def kind_of(number: int) -> str:
    """The CSS class of a configuration, by its place among those that are compared."""
    return _KINDS[number % len(_KINDS)]


class Saving(NamedTuple):
    """Of one configuration, shares of the baseline: certain, its 95 % interval, and what is possible at most."""

    name: str
    certain: float
    low: float
    high: float
    possible: float


def savings(rows: Sequence[Saving], title: str) -> str:
    """A line each: the dot is certain, the whisker its interval, the pale bar reaches to what is possible."""
    if not rows:
        return '<p class="none">Nothing to compare.</p>'
    left, right, row, top = 190, 150, 36, 26
    height = top + row * len(rows) + 6
    least = min(0.0, *(min(each.low, each.certain) for each in rows))
    most = max(0.05, *(max(each.possible, each.high) for each in rows))
    room = (most - least) * 0.03
    low, high = (least - room if least < 0 else 0.0), most + room
    step = next(each for each in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, math.inf) if (high - low) / each <= 8)

    def x(share: float) -> float:
        return left + (share - low) / (high - low) * (WIDTH - left - right)

    parts = [opening(height, title)]
    for tick in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        at = x(tick * step)
        parts.append(stroke(at, top - 4, at, height - 4, "grid"))
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{top - 9}" text-anchor="middle">{100 * tick * step:.3g} %</text>'
        )
    for number, each in enumerate(rows):
        y = top + number * row + row / 2
        kind = kind_of(number)
        figures = f"{each.certain:.1%} [{each.low:.1%} to {each.high:.1%}]"
        more = (
            f"; up to {each.possible:.1%} with what depends on the text" if each.possible > each.certain + 5e-4 else ""
        )
        parts.append(
            f"<g><title>{escape(each.name)}: {figures}{more}</title>"
            f'<text class="label" x="{left - 14}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(short(each.name, 26))}</text>"
        )
        if more:
            parts.append(
                f'<rect class="fill {kind}" x="{x(each.certain):.1f}" y="{y - 8:.1f}"'
                f' width="{x(each.possible) - x(each.certain):.1f}" height="16" rx="3"/>'
            )
        parts.append(
            f"{stroke(x(each.low), y, x(each.high), y, 'whisker')}"
            f'<circle class="dot {kind}" cx="{x(each.certain):.1f}" cy="{y:.1f}" r="6"/>'
            f'<text class="value" x="{WIDTH - right + 14}" y="{y + 4:.1f}">{each.certain:.1%}'
            f"{f' to {each.possible:.1%}' if more else ''}</text></g>"
        )
    return "".join([*parts, "</svg>"])


def shares_within(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]], limits: Sequence[tuple[float, str]], title: str
) -> str:
    """Of how many answers each configuration was done within so many seconds.

    Args:
        series: name, and per cent of answers with the seconds they were done within, rising.
        limits: seconds to be kept under, with a name.
        title: for screen readers.
    """
    known = [(name, values) for name, values in series if values]
    if not known:
        return '<p class="none">Nothing was answered.</p>'
    left, right, top, bottom, height = 62, 14, 18, 30, 270
    lowest = max(1e-3, min(values[0][1] for _, values in known))
    highest = max(*(values[-1][1] for _, values in known), lowest * 2, *(value * 1.15 for value, _ in limits))
    low, high = math.log10(lowest), math.log10(highest)

    def x(value: float) -> float:
        return left + (math.log10(max(value, lowest)) - low) / (high - low) * (WIDTH - left - right)

    def y(percent: float) -> float:
        return top + (100 - percent) / 100 * (height - top - bottom)

    parts = [opening(height, title)]
    for percent in (0, 25, 50, 75, 95):
        parts.append(
            f"{stroke(left, y(percent), WIDTH - right, y(percent), 'grid')}"
            f'<text class="tick" x="{left - 8}" y="{y(percent) + 4:.1f}" text-anchor="end">{percent} %</text>'
        )
    for value, at in decades(low, high, lambda power: x(10.0**power), 48):
        parts.append(stroke(at, top, at, height - bottom, "grid"))
        parts.append(f'<text class="tick" x="{at:.1f}" y="{height - 9}" text-anchor="middle">{seconds(value)}</text>')
    for number, (name, values) in enumerate(known):
        kind = kind_of(number)
        points = " ".join(f"{x(value):.1f},{y(percent):.1f}" for percent, value in values)
        p50, p95 = (next((value for percent, value in values if percent >= want), values[-1][1]) for want in (50, 95))
        parts.append(
            f"<g><title>{escape(name)}: p50 {seconds(p50)}, p95 {seconds(p95)}</title>"
            f'<polyline class="edge {kind}" points="{points}"/></g>'
        )
    for value, name in limits:
        if lowest <= value <= highest:
            parts.append(
                f"{stroke(x(value), top - 6, x(value), height - bottom, 'limit')}"
                f'<text class="limit-name" x="{x(value) + 5:.1f}" y="{top + 3}">{escape(name)}</text>'
            )
    return "".join([*parts, "</svg>"])
