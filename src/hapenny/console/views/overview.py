"""The first page: what is paid and what would be, how fast answers are, what fails, how long hapenny itself takes."""

from __future__ import annotations

from typing import Any

from hapenny.console.desk import Desk, Viewer
from hapenny.console.html.charts import money, seconds
from hapenny.console.html.lines import Line, lines
from hapenny.console.live import Unreachable
from hapenny.console.place import Place
from hapenny.telemetry import sampled


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Figures of the range, beside those of the range before."""
    rolled = desk.rolled()
    with rolled.look():
        totals = rolled.totals(place.scope)
        before = rolled.totals(place.before) if place.before is not None else None
        course = rolled.course(place.scope)
        savings = rolled.savings(place.scope)
        failures = rolled.failures(place.scope)
        spending = sampled.spending(rolled.connection, place.scope)
        newest = rolled.last
        alerts = [] if viewer.tenant else sampled.entries(rolled.connection, "alert", place.scope, 5)
    at = [float(spot.at) for spot in course]
    told = [spot.totals for spot in course]
    return {
        "totals": totals,
        "before": before if before is not None and before.requests else None,
        "newest": newest,
        "failures": failures[:6],
        "savings": savings[:6],
        "saved": sum(saving.saved for saving in savings),
        "spending": spending,
        "alerts": alerts,
        "state": _state(desk, viewer),
        "money": lines(
            at,
            [
                Line("without hapenny", "total", [each.baseline for each in told]),
                Line("paid", "actual", [each.actual for each in told], True),
            ],
            "Money over time: without hapenny, and paid",
            lambda value: money(round(value)),
        ),
        "traffic": lines(
            at,
            [
                Line("requests", "s0", [each.requests for each in told], True),
                Line("failed", "bad", [each.failed for each in told]),
            ],
            "Requests and failures over time",
            lambda value: f"{value:,.0f}",
            width=470,
        ),
        "speed": lines(
            at,
            [
                Line("whole answer p95", "s3", [each.e2e.p95 for each in told]),
                Line("first content p95", "s0", [each.ttft.p95 for each in told]),
            ],
            "First content and whole answer, p95, over time",
            seconds,
            limits=[(1.5, "1.5 s"), (3.0, "3 s")],
            width=470,
        ),
    }


def _state(desk: Desk, viewer: Viewer) -> dict[str, Any]:
    """How the running gateway is, in a word."""
    if not desk.live.url:
        return {"word": "", "why": ""}
    try:
        told = desk.live.get("/health")
    except Unreachable as error:
        return {"word": "unreachable", "why": str(error)}
    return {"word": str(told.get("status", "ready")) if isinstance(told, dict) else "ready", "why": ""}
