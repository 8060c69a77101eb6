"""Plots as inline SVG. Colours come from the page's CSS variables, so that light and dark need one drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from hapenny.telemetry.summary import Latency, Slice

WIDTH = 960


class Bar:
    """A bar of a waterfall: from `start` to `end`, nano-dollars; `kind` is total, saved, cost or actual."""

    __slots__ = ("end", "kind", "name", "note", "start")

    def __init__(self, name: str, start: int, end: int, kind: str, note: str = "") -> None:
        self.name = name
        self.start = start
        self.end = end
        self.kind = kind
        self.note = note


def waterfall(baseline: int, techniques: Sequence[tuple[str, int]], error: int, actual: int) -> str:
    """From what it would have cost, technique by technique, to what it did cost."""
    bars = [Bar("without hapenny", 0, baseline, "total")]
    at = baseline
    for name, nano in techniques:
        bars.append(Bar(shown(name), at, at - nano, "saved" if nano >= 0 else "cost", money(-nano, sign=True)))
        at -= nano
    if error:
        bars.append(Bar("estimate error", at, at - error, "error", money(-error, sign=True)))
    bars.append(Bar("really paid", 0, actual, "actual"))
    left, right, row, top = 170, 110, 34, 8
    height = top * 2 + row * len(bars)
    lowest = min(0, *(min(bar.start, bar.end) for bar in bars))
    highest = max(1, *(max(bar.start, bar.end) for bar in bars))
    scale = (WIDTH - left - right) / (highest - lowest)

    def x(nano: int) -> float:
        return left + (nano - lowest) * scale

    parts = [opening(height, "Savings waterfall: from the bill without hapenny to the bill that was paid")]
    before: float | None = None
    for number, bar in enumerate(bars):
        y = top + number * row
        start, end = sorted((x(bar.start), x(bar.end)))
        width = max(1.5, end - start)
        if before is not None:
            parts.append(stroke(before, y - 8, before, y + 6, "join"))
        label = bar.note or money(bar.end)
        parts.append(
            f"<g><title>{escape(bar.name)}: {label}</title>"
            f'<text class="label" x="{left - 14}" y="{y + 19}" text-anchor="end">{escape(short(bar.name, 22))}</text>'
            f'<rect class="bar {bar.kind}" x="{start:.1f}" y="{y + 4}" width="{width:.1f}" height="{row - 12}" rx="3"/>'
            f'<text class="value" x="{max(start + width, x(0)) + 8:.1f}" y="{y + 19}">{label}</text></g>'
        )
        before = x(bar.end)
    return "".join([*parts, "</svg>"])


def distribution(latency: Latency, bars: Sequence[tuple[float, str]], title: str) -> str:
    """A latency histogram over a logarithmic axis, with percentiles and the bars to be kept under."""
    if not latency.count:
        return '<p class="none">Nothing measured.</p>'
    width, height, bottom, top, side = 470, 236, 30, 50, 12
    edges = [math.log10(edge) for edge in latency.edges]
    # Room to the right of the last bar to be kept under, for its name.
    low, high = edges[0], max(edges[-1] + 0.03, *(math.log10(value) + 0.3 for value, _ in bars))
    plot = width - 2 * side

    def x(log: float) -> float:
        return side + (log - low) / (high - low) * plot

    peak = max(latency.counts)
    parts = [opening(height, title, width)]
    for value, at in decades(low, high, x, 44):
        anchor = "start" if at < side + 20 else "end" if at > width - side - 20 else "middle"
        parts.append(stroke(at, top, at, height - bottom, "grid"))
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{height - bottom + 18}" text-anchor="{anchor}">{seconds(value)}</text>'
        )
    for count, start, end in zip(latency.counts, edges, edges[1:], strict=False):
        if count:
            tall = max(1.5, (height - bottom - top) * count / peak)
            parts.append(
                f'<rect class="bar hist" x="{x(start) + 0.6:.1f}" y="{height - bottom - tall:.1f}"'
                f' width="{max(1.0, x(end) - x(start) - 1.2):.1f}" height="{tall:.1f}" rx="1.5">'
                f"<title>{seconds(10**start)} – {seconds(10**end)}: {count:,}</title></rect>"
            )
    marks = [(value, f"{name} {seconds(value)}", "mark")
             for value, name in ((latency.p50, "p50"), (latency.p95, "p95")) if value is not None]  # fmt: skip
    marks += [(value, name, "limit") for value, name in bars]
    for level, (value, name, kind) in enumerate(marks):
        at = x(max(low, math.log10(value)))
        anchor, shift = ("start", 5) if kind == "limit" or at + 8 + 7 * len(name) < width else ("end", -5)
        parts.append(stroke(at, 4 + 14 * level, at, height - bottom, kind))
        parts.append(
            f'<text class="{kind}-name" x="{at + shift:.1f}" y="{13 + 14 * level}" text-anchor="{anchor}">'
            f"{escape(name)}</text>"
        )
    parts.append(stroke(side, height - bottom, width - side, height - bottom, "axis"))
    return "".join([*parts, "</svg>"])


def course(slices: Sequence[Slice], clock: Sequence[tuple[float, str]]) -> str:
    """Money a slice of time: what it would have cost above what it did; the gap is what was saved.

    Args:
        slices: equal spans in order.
        clock: (epoch seconds, label) for the axis.
    """
    if not slices:
        return '<p class="none">No rows.</p>'
    height, bottom, top, left, right = 250, 30, 12, 64, 12
    highest = max(1, *(max(part.baseline, part.actual) for part in slices))
    step = nice(highest / 4)
    plot = (WIDTH - left - right) / len(slices)

    def y(nano: float) -> float:
        return height - bottom - (height - bottom - top) * nano / highest

    parts = [opening(height, "Cost over time: without hapenny, and really paid")]
    level = 0.0
    while level <= highest:
        parts.append(stroke(left, y(level), WIDTH - right, y(level), "grid"))
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{y(level) + 4:.1f}" text-anchor="end">${level / 1e9:,.9g}</text>'
        )
        level += step

    def outline(values: Sequence[int]) -> str:
        points = []
        for number, value in enumerate(values):
            points.append(f"{left + number * plot:.1f},{y(value):.1f}")
            points.append(f"{left + (number + 1) * plot:.1f},{y(value):.1f}")
        return " ".join(points)

    ground = f"{WIDTH - right:.1f},{y(0):.1f} {left:.1f},{y(0):.1f}"
    parts.append(f'<polygon class="area saved" points="{outline([part.baseline for part in slices])} {ground}"/>')
    parts.append(f'<polygon class="area actual" points="{outline([part.actual for part in slices])} {ground}"/>')
    parts.append(f'<polyline class="edge total" points="{outline([part.baseline for part in slices])}"/>')
    parts.append(f'<polyline class="edge actual" points="{outline([part.actual for part in slices])}"/>')
    for number, part in enumerate(slices):
        parts.append(
            f'<rect class="hover" x="{left + number * plot:.1f}" y="{top}" width="{plot:.1f}"'
            f' height="{height - bottom - top}"><title>{part.requests:,} requests: {money(part.baseline)} without,'
            f" {money(part.actual)} paid</title></rect>"
        )
    width = (slices[-1].at - slices[0].at) / max(1, len(slices) - 1) or 1.0
    before = ""
    for at, label in clock:
        if label == before:
            continue
        before = label
        where = left + (at - slices[0].at) / width * plot
        if left <= where <= WIDTH - right + 1:
            anchor = "start" if where < left + 30 else "end" if where > WIDTH - right - 30 else "middle"
            parts.append(
                f'<text class="tick" x="{where:.1f}" y="{height - 8}" text-anchor="{anchor}">{escape(label)}</text>'
            )
    parts.append(stroke(left, y(0), WIDTH - right, y(0), "axis"))
    return "".join([*parts, "</svg>"])


def share_bar(parts: Sequence[tuple[str, int]]) -> str:
    """One bar of shares, with a legend of names and per cent."""
    whole = sum(count for _, count in parts)
    if not whole:
        return '<p class="none">Nothing counted.</p>'
    drawn = "".join(
        f'<i class="s{number % 6}" style="flex:{count / whole:.5f}" title="{escape(name)}: {count:,}"></i>'
        for number, (name, count) in enumerate(parts)
    )
    legend = "".join(
        f'<li><i class="s{number % 6}"></i>{escape(name)} <b>{count / whole:.1%}</b></li>'
        for number, (name, count) in enumerate(parts)
    )
    return f'<div class="shares">{drawn}</div><ul class="legend">{legend}</ul>'


def money(nano: int, *, sign: bool = False) -> str:
    """Dollars for people: as many digits as tell something."""
    value = abs(nano) / 1e9
    if value == 0:
        text = "$0"
    elif value >= 100:
        text = f"${value:,.0f}"
    elif value >= 1:
        text = f"${value:,.2f}"
    else:
        digits = min(9, 2 - math.floor(math.log10(value)))
        text = f"${value:.{digits}f}"
    return ("−" if nano < 0 else "+" if sign and nano > 0 else "") + text


def seconds(value: float) -> str:
    """A duration for people."""
    if value == 0:
        return "0 s"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        number = value * 1e3
        return f"{number:.1f} ms" if number < 10 and round(number) != round(number, 1) else f"{number:.0f} ms"
    return f"{value:.2f} s" if value < 10 and round(value, 2) != round(value) else f"{value:.0f} s"


def nice(value: float) -> float:
    """The round number (1, 2 or 5 times a power of ten) at or above `value`."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-12)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * 0.999)


def shown(technique: str) -> str:
    """A technique's name for people: what calls cost that delivered nothing is booked to `serve`."""
    return "undelivered calls" if technique == "serve" else technique


def short(text: str, size: int) -> str:
    """`text`, its middle left out where it is too long."""
    return text if len(text) <= size else f"{text[: size // 2]}…{text[-(size - size // 2 - 1) :]}"


def decades(low: float, high: float, x: Callable[[float], float], apart: float) -> Iterator[tuple[float, float]]:
    """Values to mark on a logarithmic axis, and where: whole decades first, fives and twos where there is room.

    Args:
        low: the axis's begin, as a power of ten.
        high: its end, likewise.
        x: where a power of ten stands.
        apart: the room that each needs.
    """
    taken: list[float] = []
    for factor in (1, 5, 2):
        for exponent in range(math.floor(low), math.ceil(high) + 1):
            power = math.log10(factor) + exponent
            at = x(power)
            if low - 1e-9 <= power <= high + 1e-9 and all(abs(at - other) >= apart for other in taken):
                taken.append(at)
                yield factor * 10.0**exponent, at


def opening(height: int, title: str, width: int = WIDTH) -> str:
    """The begin of a drawing; `title`: for screen readers."""
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'


def stroke(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line; `kind`: its CSS class."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
