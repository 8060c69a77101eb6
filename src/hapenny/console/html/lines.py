"""Plots of a course over time as inline SVG: lines, stacked bars, sparklines; and bars of a ranking."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

from hapenny.console.html.charts import nice, short

_HEIGHT, _BOTTOM, _TOP, _LEFT, _RIGHT = 224, 26, 18, 62, 10
Value = float | None


class Line(NamedTuple):
    """A series: its name, CSS class (`s0` to `s5`, `good`, `bad`, `total`, `actual`), values, and whether it is
    filled down to zero."""

    name: str
    kind: str
    values: Sequence[Value]
    area: bool = False


def lines(
    at: Sequence[float],
    series: Sequence[Line],
    title: str,
    shown: Callable[[float], str],
    *,
    limits: Sequence[tuple[float, str]] = (),
    width: int = 960,
    height: int = _HEIGHT,
    top: float | None = None,
) -> str:
    """Lines over time; gaps where a value is None.

    Args:
        at: start of each part, epoch seconds, equally wide.
        series: values of each line, as many as there are parts.
        title: for screen readers.
        shown: a value for people.
        limits: horizontal bars to be kept under, with a name.
        width: of the drawing; it scales to its place.
        height: likewise.
        top: the highest value drawn; None takes the highest there is.
    """
    known = [value for line in series for value in line.values if value is not None]
    if not at or not known:
        return '<p class="none">Nothing in this range.</p>'
    highest = top if top is not None else max([*known, *(value for value, _ in limits if value < 4 * max(known))])
    lowest = min(0.0, *known) if len(known) > 1 else min(0.0, known[0])
    step = nice(max(highest - lowest, 1e-12) / 4)
    highest = max(math.ceil(highest / step - 1e-9) * step, step)
    lowest = math.floor(lowest / step + 1e-9) * step
    wide = (width - _LEFT - _RIGHT) / max(1, len(at))

    def x(place: int) -> float:
        return _LEFT + (place + 0.5) * wide

    def y(value: float) -> float:
        return _TOP + (highest - min(value, highest)) / (highest - lowest) * (height - _TOP - _BOTTOM)

    parts = [f'<svg class="course" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">']
    level = lowest
    while level <= highest + step / 2:
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y(level):.1f}" x2="{width - _RIGHT}" y2="{y(level):.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">'
                     f"{escape(_level(level, shown))}</text>")  # fmt: skip
        if all(abs(y(level) - y(bound)) > 12 for bound, _ in limits if bound <= highest):
            # Where only the newest part is in sight, the sheet of styles shows these instead.
            parts.append(f'<text class="tick inner" display="none" x="{width - _RIGHT - 4}" y="{y(level) - 4:.1f}"'
                         f' text-anchor="end">{escape(_level(level, shown))}</text>')  # fmt: skip
        level += step
    parts += _clock(at, x, width, height)
    for line in series:
        parts += _drawn(line, x, y, wide)
    for bound, name in limits:
        if bound <= highest:
            parts.append(
                f'<line class="limit" x1="{_LEFT}" y1="{y(bound):.1f}" x2="{width - _RIGHT}" y2="{y(bound):.1f}"/>'
            )
            parts.append(f'<text class="limit-name" x="{width - _RIGHT - 4}" y="{y(bound) - 5:.1f}" text-anchor="end">'
                         f"{escape(name)}</text>")  # fmt: skip
    for place, moment in enumerate(at):
        told = ", ".join(f"{line.name} {shown(value)}" for line in series if (value := line.values[place]) is not None)
        parts.append(
            f'<rect class="hover" x="{_LEFT + place * wide:.1f}" y="{_TOP}" width="{max(wide, 0.5):.1f}"'
            f' height="{height - _TOP - _BOTTOM}">'
            f"<title>{_moment(moment, at)}: {escape(told) or 'nothing'}</title></rect>"
        )
    return "".join([*parts, "</svg>"])


def _drawn(line: Line, x: Callable[[int], float], y: Callable[[float], float], wide: float) -> list[str]:
    parts: list[str] = []
    run: list[tuple[float, float]] = []
    for place in range(len(line.values) + 1):
        value = line.values[place] if place < len(line.values) else None
        if value is not None:
            run.append((x(place), y(value)))
            continue
        if len(run) == 1:
            parts.append(f'<circle class="dot {line.kind}" cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="2.5"/>')
        elif run:
            points = " ".join(f"{a:.1f},{b:.1f}" for a, b in run)
            if line.area:
                ground = f"{run[-1][0]:.1f},{y(0):.1f} {run[0][0]:.1f},{y(0):.1f}"
                parts.append(f'<polygon class="fill {line.kind}" points="{points} {ground}"/>')
            parts.append(f'<polyline class="edge {line.kind}" points="{points}"/>')
        run = []
    return parts


def _clock(at: Sequence[float], x: Callable[[int], float], width: int, height: int) -> list[str]:
    parts: list[str] = []
    letters = max(len(_moment(at[0], at)), 5)
    every = max(1, math.ceil(len(at) / max(2, min(6, int((width - _LEFT - _RIGHT) / (7.5 * letters + 16))))))
    for place in range(0, len(at), every):
        where = x(place)
        anchor = "start" if where < _LEFT + 30 else "end" if where > width - 50 else "middle"
        parts.append(f'<text class="tick" x="{where:.1f}" y="{height - 7}" text-anchor="{anchor}">'
                     f"{_moment(at[place], at)}</text>")  # fmt: skip
    return parts


def _level(value: float, shown: Callable[[float], str]) -> str:
    return "0" if abs(value) < 1e-12 else shown(value)


def _moment(wall: float, at: Sequence[float]) -> str:
    moment = datetime.fromtimestamp(wall, UTC)
    if len(at) > 1 and at[1] - at[0] >= 86_400:
        return f"{moment:%d %b}"
    return f"{moment:%H:%M}" if at[-1] - at[0] <= 86_400 else f"{moment:%d %b %H:%M}"


def sparkline(values: Sequence[float], kind: str = "actual", width: int = 96, height: int = 22) -> str:
    """A small line without axes."""
    if len(values) < 2 or not any(values):
        return ""
    highest, lowest = max(values), min(0.0, *values)
    room = (highest - lowest) or 1.0
    points = " ".join(
        f"{number * width / (len(values) - 1):.1f},{1 + (height - 2) * (highest - value) / room:.1f}"
        for number, value in enumerate(values)
    )
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
        f'<polyline class="edge {kind}" points="{points}"/></svg>'
    )


def ranking(rows: Sequence[tuple[str, float, str]], kind: str = "hist", width: int = 460) -> str:
    """Horizontal bars, one a row: name, value, and the value in words."""
    if not rows:
        return '<p class="none">Nothing in this range.</p>'
    highest = max((value for _, value, _ in rows), default=0.0) or 1.0
    items = "".join(
        f'<li><span>{escape(name)}</span><i class="{kind}" style="width:{max(0.0, value) / highest:.1%}"></i>'
        f"<b>{escape(told)}</b></li>"
        for name, value, told in rows
    )
    return f'<ul class="ranking">{items}</ul>'


class Step(NamedTuple):
    """A part of a waterfall of time: from `start`, `length` seconds long; its CSS class and, for people, more."""

    name: str
    start: float
    length: float
    kind: str
    note: str = ""


def timeline(steps: Sequence[Step], whole: float, shown: Callable[[float], str], title: str) -> str:
    """What happened when within one request: a bar a step."""
    if not steps:
        return '<p class="none">No times were kept.</p>'
    width, left, right, row, top = 960, 270, 90, 26, 22
    height = top + row * len(steps) + 8
    scale = (width - left - right) / max(whole, 1e-9)
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">']
    tick = nice(max(whole, 1e-9) / 5)
    level = 0.0
    while level <= whole * 1.0001:
        at = left + level * scale
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{top - 4}" x2="{at:.1f}" y2="{height - 4}"/>')
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{top - 9}" text-anchor="middle">{escape(_level(level, shown))}</text>'
        )
        level += tick
    for number, step in enumerate(steps):
        y = top + number * row
        start, length = left + step.start * scale, max(1.5, step.length * scale)
        inside = start + length + 6 < width - 60
        parts.append(
            f"<g><title>{escape(step.name)}: {escape(shown(step.length))} from {escape(shown(step.start))} on"
            f"{escape('; ' + step.note) if step.note else ''}</title>"
            f'<text class="label" x="{left - 12}" y="{y + 17}" text-anchor="end">{escape(short(step.name, 40))}</text>'
            f'<rect class="bar {step.kind}" x="{start:.1f}" y="{y + 4}" width="{length:.1f}"'
            f' height="{row - 9}" rx="2"/>'
            f'<text class="value" x="{start + length + 6 if inside else start - 6:.1f}" y="{y + 17}"'
            f' text-anchor="{"start" if inside else "end"}">{escape(shown(step.length))}</text></g>'
        )
    return "".join([*parts, "</svg>"])
