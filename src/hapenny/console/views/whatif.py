"""What if: another configuration on the traffic of this ledger, by the verb `hapenny whatif`."""

from __future__ import annotations

from typing import Any

import msgspec

from hapenny.console.desk import Desk, Viewer
from hapenny.console.place import Place
from hapenny.telemetry.advice import Watched, advise
from hapenny.telemetry.conditions import condition

SAMPLE = 20_000
"""Requests that stages in shadow watched, the newest of a range."""


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Steps that stages in shadow would have saved, from a sample of the range, brought to the range's bill."""
    rolled = desk.rolled()
    with rolled.look():
        totals = rolled.totals(place.scope)
        where, values = condition(place.scope)
        rows = rolled.connection.execute(
            "SELECT actual, would_save, route FROM (SELECT actual, would_save, route, unpriced, background"
            f" FROM requests WHERE {where} ORDER BY wall DESC LIMIT {SAMPLE})"
            " WHERE would_save IS NOT NULL AND NOT unpriced AND background = ''",
            values,
        ).fetchall()
    decode = msgspec.json.Decoder(dict[str, int]).decode
    watched = [Watched(actual or 0, decode(saves), route) for actual, saves, route in rows]
    advised = advise(watched, totals.actual - totals.background_actual)
    return {"steps": advised.steps, "total": advised.total, "watched": len(watched), "totals": totals}
