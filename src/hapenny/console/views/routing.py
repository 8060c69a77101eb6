"""Who answers: models by cost and quality, promises of routing, and how the loss budget stands."""

from __future__ import annotations

from typing import Any

from hapenny.console.desk import Desk, Viewer
from hapenny.console.html.quality import budget_lines
from hapenny.console.html.scatter import Point, scatter
from hapenny.console.place import Place
from hapenny.telemetry import sampled


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Models of the range with money and scores; certificates from the ledger and from the gateway."""
    rolled = desk.rolled()
    with rolled.look():
        groups = [group for group in rolled.groups(place.scope, "model") if not group.others]
        scores = {each.name: each for each in sampled.scores(rolled.connection, place.scope)}
        counted = rolled.counts(place.scope, "certificate")
        spent = sampled.evidence(rolled.connection, place.scope)
    promises: dict[tuple[str, str, str], list[int]] = {}
    for each in counted:
        intent, _, promise = each.name.partition("/")
        known = promises.setdefault((each.route, intent, promise), [0, 0])
        known[0] += each.requests
        known[1] = max(known[1], each.at)
    rows, points = [], []
    for group in groups:
        asked = group.totals.requests
        cost = (group.totals.actual - group.totals.background_actual) / asked if asked else 0.0
        score = scores.get(group.name)
        rows.append({"group": group, "cost": round(cost), "score": score})
        if score is not None and cost > 0:
            points.append(Point(group.name, cost / 1e9, score.mean, score.low, score.high))
    live, why = desk.running("/v1/certificates", viewer)
    return {
        "rows": rows,
        "pareto": scatter(points, "Models by cost of a request and quality"),
        "points": len(points),
        "promises": [
            {"route": key[0], "intent": key[1], "promise": key[2], "requests": told[0], "last": told[1]}
            for key, told in sorted(promises.items(), key=lambda item: -item[1][0])
        ],
        "budget": budget_lines(spent),
        "live": live,
        "why": why,
    }
