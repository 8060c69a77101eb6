"""Keys and budgets: who may ask, what they used of what they may, and what was done to keys."""

from __future__ import annotations

import asyncio
from typing import Any

from hapenny.admission.registry import STORE_ERRORS
from hapenny.console.desk import Desk, Viewer
from hapenny.console.live import Unreachable
from hapenny.console.place import Place
from hapenny.core.errors import Failure


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Stored keys and those of the configuration, spent money beside each; budgets of the running gateway."""
    from hapenny.admission.keys import key_id

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
        return [], f"Stored keys cannot be read: {type(error).__name__}."
