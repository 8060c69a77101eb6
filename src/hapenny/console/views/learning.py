"""Health of learning: are estimates good, do judges agree with people, does evidence come, is anything closed."""

from __future__ import annotations

from typing import Any

from hapenny.console.desk import Desk, Viewer
from hapenny.console.html.lines import Line, lines
from hapenny.console.html.quality import budget_lines
from hapenny.console.place import Place
from hapenny.telemetry import sampled


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Estimate error over time and by model, audits, scores by who gave them, the loss budget."""
    rolled = desk.rolled()
    with rolled.look():
        totals = rolled.totals(place.scope)
        course = rolled.course(place.scope, 60)
        models = [group for group in rolled.groups(place.scope, "model") if group.totals.actual]
        spent = sampled.evidence(rolled.connection, place.scope)
        routes = sampled.scores(rolled.connection, place.scope, "route")
        audits = [call for call in rolled.calls(place.scope) if call.purpose in ("audit", "judge")]
    live, why = desk.running("/v1/certificates", viewer)
    people = "Labels need texts: see the page Labels."
    if viewer.tenant is None:
        people = desk.people()
    off = [spot.totals.off / spot.totals.actual if spot.totals.actual else None for spot in course]
    return {
        "totals": totals,
        "error": lines(
            [float(spot.at) for spot in course], [Line("off by", "s0", off, True)], "Estimates off by, over time",
            lambda value: f"{value:.2%}", limits=[(0.05, "5 %")],
        ),
        "models": models[:20],
        "budget": budget_lines(spent),
        "closed": [each for each in spent if each.state != "open"],
        "routes": routes,
        "audits": audits,
        "audited": sum(call.calls for call in audits),
        "cost": sum(call.cost for call in audits),
        "stepped_back": (live or {}).get("stepped_back", {}) if isinstance(live, dict) else {},
        "why": why,
        "people": people,
    }  # fmt: skip
