"""Quotas and capacity: what models are called at, how near their limits, what failed, and bills by the hour."""

from __future__ import annotations

from typing import Any

from hapenny.console.desk import Desk, Viewer
from hapenny.console.place import Place
from hapenny.telemetry import sampled


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Calls by model, region and tier; queues and limits of the running gateway."""
    rolled = desk.rolled()
    with rolled.look():
        calls = rolled.calls(place.scope)
        failures = rolled.failures(place.scope)
        bills = [] if viewer.tenant else sampled.entries(rolled.connection, "capacity", place.scope, 2_000)
        seconds = max(1.0, (place.until or rolled.last or place.now) - (place.since or rolled.first or 0.0))
    paid: dict[str, dict[str, Any]] = {}
    for bill in bills:
        known = paid.setdefault(bill["model"], {"technique": bill["technique"], "hours": 0, "actual": 0})
        known["hours"] += 1
        known["actual"] += bill["actual"]
    live, why = desk.running("/v1/throughput", viewer)
    return {
        "calls": calls[:40],
        "minutes": seconds / 60,
        "failures": failures,
        "bills": paid,
        "routes": live.get("routes", []) if isinstance(live, dict) else [],
        "why": why,
    }
