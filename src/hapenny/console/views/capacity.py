"""Quotas and capacity: what models are called at, how near their limits, what failed, and bills by the hour."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any

from hapenny.capacity.outlook import Outlook
from hapenny.capacity.utilisation import Utilisation, utilisation
from hapenny.console.desk import Desk, Viewer
from hapenny.console.place import Place
from hapenny.console.render import duration
from hapenny.telemetry import sampled
from hapenny.throughput.options import THROUGHPUT_STAGE
from hapenny.throughput.place_limits import burndown, in_flight, place_limits

NEWEST = 100_000
"""Calls of the range from which use is counted, the newest."""
FRESH_S = 60.0
ALERTS = {
    "quota_near": "quota nearly full",
    "quota_runs_out": "quota runs out soon",
    "in_flight_unexplained": "more calls in flight than the books explain",
}
_OVER = "_over"
"""Behind the name of an alert that is over."""


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
        "alerts": [
            {
                "subject": each.get("subject", ""),
                "wall": each["wall"],
                "over": alert.endswith(_OVER),
                "what": ALERTS[alert.removesuffix(_OVER)],
            }
            for each in told
            if (alert := str(each.get("alert", ""))).removesuffix(_OVER) in ALERTS
        ][:10],
        "calls": calls[:40],
        "minutes": seconds / 60,
        "failures": failures,
        "bills": paid,
        "routes": live.get("routes", []),
        "why": why,
    }


def _used(desk: Desk, place: Place, live: list[dict[str, Any]]) -> tuple[Utilisation | None, str, bool]:
    """Use of places, why there is none, and whether it is being made: each call of the range is read, aside."""
    path = desk.ledger_file()
    try:
        limits = place_limits(desk.config.stages[THROUGHPUT_STAGE] if desk.config is not None else None, {}, live)
    except (ValueError, OSError) as error:
        return None, str(error), False
    since = None if place.since is None else place.since // FRESH_S * FRESH_S
    read = partial(
        utilisation, path, limits, since=since, until=place.until, most=NEWEST, burndown=burndown,
        seen=in_flight(live), recent_s=live[0]["little_s"] if live else None,
    )  # fmt: skip
    made, age = desk.aside(("capacity", path, place.range or place.since, place.until), read, FRESH_S)
    if isinstance(made, ValueError):
        return None, "", False  # the range holds no calls, which the page says by itself
    if isinstance(made, (sqlite3.Error, OSError)):
        return None, str(made), False
    return made if isinstance(made, Utilisation) else None, "", age is None


def forecast(outlook: Outlook) -> str:
    """When a quota is used up, for people; with the interval."""
    left = outlook.runs_out_in_s
    if left is None:
        return "no end in sight at the present trend"
    if left <= 0:
        return "reached in the busy minutes"
    soonest, latest = outlook.soonest_s or 0.0, outlook.latest_s
    until = duration(latest) if latest is not None else "beyond what can be told"
    return f"runs out in {duration(left)} (80 %: {duration(soonest)} to {until})"
