"""Windows of budgets: a calendar day or month, or a rolling span.

Spending is kept in slices, numbered by the second in which they begin. A calendar window is one slice. A rolling one
has `SLICES` and counts a slice for as long as any second of it is inside: what is used in *any* span of that length
never exceeds the budget, at the price of up to one slice more patience.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, NamedTuple

SLICES = 60
_SPAN = re.compile(r"(\d{1,5})([mhdw])")
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST = 366 * 86_400


class Window(NamedTuple):
    """A kind of window; `seconds` is 0 for those of the calendar."""

    kind: Literal["day", "month", "rolling"]
    seconds: int = 0


class Span(NamedTuple):
    """A window at one moment, in epoch seconds: what happens now is in `slice`; slices from `first` on count; at `ends`
    something becomes free again by itself."""

    first: int
    slice: int
    ends: int


def parse(text: str) -> Window:
    """The window that an operator means. Raises `ValueError`."""
    if text == "day":
        return Window("day")
    if text == "month":
        return Window("month")
    match = _SPAN.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match is not None else 0
    if not 60 <= seconds <= _LONGEST:
        raise ValueError(f"window: {text!r} is none; write day, month, or a rolling span such as 90m, 24h or 7d")
    return Window("rolling", seconds)


def span(window: Window, now: float, zone: tzinfo) -> Span:
    """The window at `now` (epoch seconds); days and months begin in `zone`."""
    if window.kind == "rolling":
        width = -(-window.seconds // SLICES)
        current = int(now // width) * width
        return Span(current - -(-window.seconds // width) * width, current, current + width)
    day = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if window.kind == "day":
        start = day
        after = (day + timedelta(days=1)).replace(fold=0)
    else:
        start = day.replace(day=1)
        after = (start + timedelta(days=32)).replace(day=1, fold=0)
    begin = int(start.timestamp())
    return Span(begin, begin, int(after.timestamp()))


def zone_of(name: str) -> tzinfo:
    """The time zone of a name such as `UTC` or `Asia/Tokyo`. Raises `KeyError`, `ValueError` or `OSError` for one that
    is not known here."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # reads the machine's tables: only where days begin at another hour

    return ZoneInfo(name)
