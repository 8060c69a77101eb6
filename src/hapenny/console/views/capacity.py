"""Quotas and capacity: what models are called at, how near their limits, what failed, and bills by the hour."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any

from hapenny.capacity.utilisation import PlaceUse, Utilisation, utilisation
from hapenny.console.desk import Desk, Viewer
from hapenny.console.place import Place
from hapenny.console.render import duration
from hapenny.telemetry import sampled

NEWEST = 100_000
"""Calls of the range from which use is counted, the newest."""
FRESH_S = 60.0
ALERTS = frozenset({"quota_near", "quota_runs_out", "in_flight_unexplained"})
"""Those about capacity; each is told again with `_over` behind it when it is over."""


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Calls by model, region and tier; queues and limits of the running gateway."""
    rolled = desk.rolled()
    with rolled.look():
        calls = rolled.calls(place.scope)
        failures = rolled.failures(place.scope)
        bills = [] if viewer.tenant else sampled.entries(rolled.connection, "capacity", place.scope, 2_000)
        told = [] if viewer.tenant else sampled.entries(rolled.connection, "alert", place.scope, 300)
        seconds = max(1.0, (place.until or rolled.last or place.now) - (place.since or rolled.first or 0.0))
    paid: dict[str, dict[str, Any]] = {}
    for bill in bills:
        known = paid.setdefault(bill["model"], {"technique": bill["technique"], "hours": 0, "actual": 0})
        known["hours"] += 1
        known["actual"] += bill["actual"]
    live, why = desk.running("/v1/throughput", viewer)
    live = live if isinstance(live, dict) else {}
    used, problem, making = (
        _used(desk, place, live.get("utilisation", [])) if viewer.tenant is None else (None, "", False)
    )
    return {
        "used": used,
        "newest": NEWEST,
        "forecast": forecast,
        "problem": problem,
        "making": making,
        "now": live.get("utilisation", []),
        "alerts": [each for each in told if str(each.get("alert", "")).removesuffix("_over") in ALERTS][:10],
        "calls": calls[:40],
        "minutes": seconds / 60,
        "failures": failures,
        "bills": paid,
        "routes": live.get("routes", []),
        "why": why,
    }


def _used(desk: Desk, place: Place, live: list[dict[str, Any]]) -> tuple[Utilisation | None, str, bool]:
    """Use of places, why there is none, and whether it is being made: each call of the range is read, aside."""
    from hapenny.studies.place_limits import burndown, place_limits

    seen: dict[str, float] = {}
    for row in live:
        if row.get("little") is not None:
            seen[row["model"]] = seen.get(row["model"], 0.0) + row["little"]["seen"]
    path = desk.ledger_file()
    try:
        limits = place_limits(desk.config, {}, live)
    except (ValueError, OSError) as error:
        return None, str(error), False
    since = None if place.since is None else place.since // FRESH_S * FRESH_S
    read = partial(
        utilisation, path, limits, since=since, until=place.until, most=NEWEST, burndown=burndown,
        seen=seen or None, recent_s=live[0]["little_s"] if live else None,
    )  # fmt: skip
    made, age = desk.aside(("capacity", path, place.range or place.since, place.until), read, FRESH_S)
    if isinstance(made, ValueError):
        return None, "", False  # the range holds no calls, which the page says by itself
    if isinstance(made, (sqlite3.Error, OSError)):
        return None, str(made), False
    return made if isinstance(made, Utilisation) else None, "", age is None


def forecast(use: PlaceUse) -> str:
    """When a place's quota is used up, for people; with the interval."""
    if use.outlook is None:
        return "no forecast: the quota is not known"
    left = use.outlook.runs_out_in_s
    if left is None:
        return "no end in sight at the present trend"
    if left <= 0:
        return "reached in the busy minutes"
    soonest, latest = use.outlook.soonest_s or 0.0, use.outlook.latest_s
    until = duration(latest) if latest is not None else "beyond what can be told"
    return f"runs out in {duration(left)} (80 %: {duration(soonest)} to {until})"
