"""When a limit is reached if use goes on as it has: a robust trend, what it stands on, and when nothing can be said.

Theory of operation. The slope is the median of the slopes between all pairs of points, its interval Sen's (P. K. Sen,
Estimates of the regression coefficient based on Kendall's tau, JASA 1968): a few spikes move neither. Where the
interval holds a slope of 0 or less there is no trend upwards, and no date. A trend is not drawn further than `REACH`
times the span it was seen over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

LEAST = 6
"""Points below which there is no trend to speak of."""
REACH = 5.0
"""How far a trend is drawn on, in spans that it was seen over."""
_Z80 = 1.2816
DAYS_S = 2 * 86_400.0
"""Shorter logs cannot tell a trend from the hour of the day."""


class Outlook(Struct, frozen=True, kw_only=True):
    """What comes of the present trend. Seconds from the last point; levels in the unit of the points."""

    runs_out_in_s: float | None
    """0: it has been reached. None: it is not, as far as can be told."""
    soonest_s: float | None
    latest_s: float | None
    """Ends of the 80 % interval of the slope; None: not within what can be told."""
    level: float
    """Where the trend stands now."""
    slope_per_h: float
    stands_on: str
    """For people: points, span, slope and what to beware of."""


def outlook(points: Sequence[tuple[float, float]], limit: float) -> Outlook:
    """The outlook of use against a limit.

    Args:
        points: seconds and levels, in order of time.
        limit: in the levels' unit.
    """
    count = len(points)
    last = points[-1][1] if points else 0.0
    if count < LEAST:
        return _none(last, 0.0, f"{count} points: too few for a trend")
    at = np.array([each[0] for each in points], dtype=float)
    level = np.array([each[1] for each in points], dtype=float)
    span = float(at[-1] - at[0])
    first, second = np.triu_indices(count, 1)
    apart = at[second] - at[first]
    slopes = np.sort((level[second] - level[first])[apart > 0] / apart[apart > 0])
    if span <= 0 or not len(slopes):
        return _none(last, 0.0, "all points are of one moment")
    slope = float(np.median(slopes))
    width = _Z80 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = float(slopes[max(0, int((len(slopes) - width) / 2))])
    high = float(slopes[min(len(slopes) - 1, math.ceil((len(slopes) + width) / 2))])

    def stands(rate: float) -> float:
        """Where a line of that slope through the middle of the points is at the last one."""
        return float(np.median(level - rate * (at - at[-1])))

    now = stands(slope)
    stands_on = (
        f"{count} points over {_span(span)}, slope {slope * 3600:+,.0f} an hour "
        f"({low * 3600:+,.0f} to {high * 3600:+,.0f} at 80 %)"
    )
    if span < DAYS_S:
        stands_on += "; less than two days: the hour of the day may look like a trend"
    if now >= limit:
        return Outlook(
            runs_out_in_s=0.0, soonest_s=0.0, latest_s=0.0, level=now, slope_per_h=slope * 3600, stands_on=stands_on
        )
    if low <= 0:
        return _none(now, slope * 3600, stands_on + "; no sure rise")

    def until(rate: float) -> float | None:
        seconds = max(0.0, limit - stands(rate)) / rate
        return seconds if seconds <= REACH * span else None

    return Outlook(
        runs_out_in_s=until(slope), soonest_s=until(high), latest_s=until(low), level=now, slope_per_h=slope * 3600,
        stands_on=stands_on,
    )  # fmt: skip


def _none(level: float, slope: float, why: str) -> Outlook:
    return Outlook(
        runs_out_in_s=None, soonest_s=None, latest_s=None, level=level, slope_per_h=slope, stands_on=why
    )  # fmt: skip


def _span(seconds: float) -> str:
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.1f} days"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
