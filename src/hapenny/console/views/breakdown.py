"""The bill by tenant, key, feature, model or route."""

from __future__ import annotations

from typing import Any

from hapenny.console.desk import Desk, Viewer
from hapenny.console.place import Place

BY = ("tenant", "key", "feature", "model", "route")


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Groups of the range, the dearest first, with what background work cost each."""
    ways = [each for each in BY if viewer.tenant is None or each != "tenant"]
    by = place.more.get("by", ways[0])
    by = by if by in ways else ways[0]
    rolled = desk.rolled()
    with rolled.look():
        groups = rolled.groups(place.scope, by)
        span = rolled.cube(place.scope)
        names = _names(desk) if by == "key" else {}
    return {
        "by": by,
        "ways": ways,
        "groups": groups,
        "names": names,
        "paid": sum(group.totals.actual for group in groups),
        "whole_days": span.table.span == 86_400,
    }


def _names(desk: Desk) -> dict[str, str]:
    from hapenny.admission.keys import key_id

    return {key_id(key.key): key.tenant for key in desk.config.keys}
