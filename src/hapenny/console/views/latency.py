"""Where the time of a request goes: steps against their budgets, first content and whole answers, the bottleneck."""

from __future__ import annotations

from typing import Any

from hapenny.console.budgeted import budgeted
from hapenny.console.desk import Desk, Viewer
from hapenny.console.html.charts import distribution, seconds
from hapenny.console.html.lines import Line, lines
from hapenny.console.place import Place
from hapenny.telemetry import sampled
from hapenny.telemetry.bottleneck import bottleneck


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Steps, distributions and the course of the range."""
    rolled = desk.rolled()
    with rolled.look():
        totals = rolled.totals(place.scope)
        course = rolled.course(place.scope)
        spending = sampled.spending(rolled.connection, place.scope)
        budget = budgeted(rolled.connection, place.scope)
        calls = rolled.calls(place.scope)
    at = [float(spot.at) for spot in course]
    return {
        "totals": totals,
        "spending": spending,
        "budget": budget,
        "verdict": bottleneck(spending, calls),
        "calls": [each for each in calls if each.purpose not in ("audit", "judge")][:20],
        "first": distribution(totals.ttft, [(1.5, "1.5 s")], "Time to first content"),
        "whole": distribution(totals.e2e, [(1.5, "1.5 s"), (3.0, "3 s")], "Time to the last token"),
        "course": lines(
            at,
            [
                Line("whole p95", "s3", [spot.totals.e2e.p95 for spot in course]),
                Line("whole p50", "s4", [spot.totals.e2e.p50 for spot in course]),
                Line("first p95", "s0", [spot.totals.ttft.p95 for spot in course]),
                Line("first p50", "s2", [spot.totals.ttft.p50 for spot in course]),
            ],
            "Latency over time",
            seconds,
            limits=[(1.5, "1.5 s"), (3.0, "3 s")],
        ),
    }
