"""Alerts: what the operator was told, newest first."""

from __future__ import annotations

from typing import Any

from hapenny.console.desk import Desk, Viewer
from hapenny.console.place import Place
from hapenny.telemetry import sampled


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Those of the range, and where they go."""
    rolled = desk.rolled()
    with rolled.look():
        alerts = sampled.entries(rolled.connection, "alert", place.scope, 300)
    kinds: dict[str, int] = {}
    for each in alerts:
        kinds[str(each.get("alert", ""))] = kinds.get(str(each.get("alert", "")), 0) + 1
    hidden = {"wall", "technique", "model", "actual", "saved", "alert", "subject"}
    rows = [
        {
            "wall": each["wall"], "kind": each.get("alert", ""), "subject": each.get("subject", ""),
            "detail": {name: value for name, value in each.items() if name not in hidden},
        }
        for each in alerts
    ]  # fmt: skip
    return {"rows": rows, "kinds": kinds, "webhook": bool(desk.config.alerts.webhook)}
