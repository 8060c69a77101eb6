"""Keys and budgets: who may ask, what they used of what they may, and what was done to keys."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from hapenny.admission.registry import STORE_ERRORS
from hapenny.console.desk import Desk, Empty, Viewer
from hapenny.console.live import Unreachable
from hapenny.console.place import Place
from hapenny.core.errors import Failure
from hapenny.telemetry.rolled_figures import Grouped


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Stored keys and those of the configuration, spent money beside each; budgets of the running gateway."""
    from hapenny.admission.keys import key_id

    groups: dict[str, Grouped] = {}
    with contextlib.suppress(Empty):  # keys are there before the first request is
        rolled = desk.rolled()
        with rolled.look():
            groups = {group.name: group for group in rolled.groups(place.scope, "key", 200)}
    rows: list[dict[str, Any]] = [
        {
            "id": key_id(key.key), "tenant": key.tenant, "name": "(configuration)", "scopes": list(key.scopes),
            "state": "active", "expires": None,
        }
        for key in desk.config.keys
    ]  # fmt: skip
    stored, problem = _stored(desk)
    rows += stored
    rows = [row for row in rows if viewer.tenant in (None, row["tenant"])]
    for row in rows:
        row["used"] = groups.get(str(row["id"]))
    budgets: list[Any] = []
    log: list[Any] = []
    why = ""
    if viewer.tenant is None:
        try:
            budgets = desk.live.get("/v1/admin/budgets")["budgets"]
            log = desk.live.get("/v1/admin/log?limit=20")["entries"]
        except Unreachable as error:
            why = str(error)
    return {"rows": rows, "budgets": budgets, "log": log, "why": why, "problem": problem}


def place_of(desk: Desk) -> str:
    """Where keys are kept, without what opens it."""
    store = desk.config.admission_store()
    scheme, found, rest = store.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else store


def _stored(desk: Desk) -> tuple[list[dict[str, Any]], str]:
    from hapenny.gateway.admitting import open_store

    if desk.config.admission_store() == "memory:":
        return [], ""
    registry = open_store(desk.config, desk.clock)

    async def read() -> list[dict[str, Any]]:
        try:
            await registry.load()
            now = desk.clock.wall()
            return [
                {
                    "id": each.id, "tenant": each.tenant, "name": each.name, "scopes": list(each.scopes),
                    "state": each.state(now), "expires": each.expires,
                }
                for each in registry.records()
            ]  # fmt: skip
        finally:
            await registry.aclose()

    try:
        return asyncio.run(read()), ""
    except (*STORE_ERRORS, Failure) as error:
        return [], (
            f"Stored keys cannot be read ({type(error).__name__}). Fix: is {place_of(desk)} up, and may the console"
            " reach it?"
        )
