"""The caches: hit trend and what it saved from the ledger; bound, errors, returns and entries from the gateway."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from hapenny.console.desk import Desk, Empty, Viewer
from hapenny.console.html.lines import Line, lines
from hapenny.console.live import Unreachable
from hapenny.console.place import Place


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Hits by layer over time, and the running gateway's own figures."""
    rolled = desk.rolled()
    with rolled.look():
        counted = rolled.counts(place.scope, "layer")
        totals = rolled.totals(place.scope)
        course = rolled.course(place.scope, 60)
    layers: dict[str, dict[str, int]] = {}
    for each in counted:
        layer, _, result = each.name.rpartition("/")
        known = layers.setdefault(layer, {"hit": 0, "miss": 0, "saved": 0})
        known[result] += each.requests
        if result == "hit":
            known["saved"] += each.nano
    shares = [spot.totals.hits / spot.totals.requests if spot.totals.requests else None for spot in course]
    stats, entries, why = None, [], ""
    key = place.more.get("entry", "")
    if viewer.tenant is None:
        try:
            stats = desk.live.get("/v1/cache/stats")
            if key and not key.strip("0123456789abcdefABCDEF"):
                entries = desk.live.get(f"/v1/cache/explain/{quote(key, safe='')}")
            elif "entries" in place.more:
                entries = desk.live.get("/v1/cache/explain/")
        except Unreachable as error:
            why = str(error)
    return {
        "layers": layers,
        "totals": totals,
        "trend": lines(
            [float(spot.at) for spot in course],
            [Line("hits", "good", shares, True)],
            "Share of requests answered from a cache, over time",
            lambda value: f"{value:.0%}",
        ),
        "stats": stats,
        "entries": entries[:200],
        "key": key,
        "why": why,
        "asked": bool(key or "entries" in place.more),
    }


def act(desk: Desk, form: dict[str, str], viewer: Viewer) -> str:
    """Removes entries, or says what would go. Raises `Empty` where it cannot."""
    age = form.get("older_than_s", "").strip()
    try:
        body = {
            "key": form.get("entry") or None,
            "tag": form.get("tag") or None,
            "older_than_s": float(age) if age else None,
            "dry_run": form.get("what") != "remove",
        }
    except ValueError:
        raise Empty("Nothing was removed", f"{age[:40]!r} is no number of seconds.") from None
    if not any((body["key"], body["tag"], body["older_than_s"] is not None, form.get("everything") == "yes")):
        raise Empty("Nothing was removed", "Say what goes: a key, a tag, an age, or tick every entry.")
    try:
        told, _ = desk.live.call("POST", "/v1/cache/invalidate", body)
    except Unreachable as error:
        raise Empty("Nothing was removed", str(error)) from None
    went = ", ".join(f"{row['entries']:,} of {layer} ({row['bytes']:,} bytes)" for layer, row in told.items())
    return f"{'Would go' if body['dry_run'] else 'Removed'}: {went or 'nothing'}."
