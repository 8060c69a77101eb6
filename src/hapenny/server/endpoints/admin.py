"""`/v1/admin/…`: keys, tenants, budgets, the pause switch and the log of what was done here."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hapenny.admission.options import TenantOptions
from hapenny.admission.records import NewKey
from hapenny.admission.registry import STORE_ERRORS, Pause, Registry
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.core.money import NANO
from hapenny.server.call import Call
from hapenny.server.replies import as_json, read, whole_number
from hapenny.server.transport.messages import Response

_log = get_logger("hapenny.server")


class _Rotation(Struct, forbid_unknown_fields=True):
    overlap_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap_s <= 30 * 86_400:
            raise ValueError(f"overlap_s: {self.overlap_s:g}; give 0 to 30 days in seconds")


class _Reason(Struct, forbid_unknown_fields=True):
    reason: str = ""


async def listed(call: Call) -> Response:
    """All stored keys, oldest first."""
    now = call.gateway.clock.wall()
    return as_json({"keys": [record.shown(now) for record in call.gateway.registry.records()]})


async def one(call: Call) -> Response:
    """One stored key. Raises `Failure`, `not_found`."""
    record = call.gateway.registry.record(call.params["id"])
    if record is None:
        raise Failure("not_found", f"there is no stored key {call.params['id'][:64]!r}")
    return as_json(record.shown(call.gateway.clock.wall()))


async def create(call: Call) -> Response:
    """Makes a key. Raises `Failure` for what cannot be."""
    wanted = read(call.body or b"{}", NewKey)
    known = call.gateway.config.routes
    for route in (*wanted.routes, *([wanted.default_route] if wanted.default_route else [])):
        if route != "*" and route not in known:
            raise Failure("invalid_request", f"{route[:200]!r} is not a route", field="routes")
    minted = await _changed(call, lambda registry, actor: registry.create(wanted, actor))
    return as_json({**msgspec.to_builtins(minted), "note": "the key is shown this once"}, 201)


async def rotate(call: Call) -> Response:
    """Gives a key a new secret."""
    overlap = read(call.body or b"{}", _Rotation).overlap_s
    minted = await _changed(call, lambda registry, actor: registry.rotate(call.params["id"], actor, overlap))
    return as_json({**msgspec.to_builtins(minted), "note": "the key is shown this once"})


async def revoke(call: Call) -> Response:
    """Ends a key."""
    record = await _changed(call, lambda registry, actor: registry.revoke(call.params["id"], actor))
    return as_json(record.shown(call.gateway.clock.wall()))


async def tenants(call: Call) -> Response:
    """What is said of tenants; those of the configuration cannot be changed here."""
    registry = call.gateway.registry
    return as_json(
        {
            "tenants": {
                name: {**msgspec.to_builtins(options), "configured": name in registry.configured}
                for name, options in sorted(registry.tenants().items())
            }
        }
    )


async def set_tenant(call: Call) -> Response:
    """Says what a tenant may do."""
    options = read(call.body, TenantOptions)
    name = call.params["tenant"]
    await _changed(call, lambda registry, actor: registry.set_tenant(name, options, actor))
    return as_json({"tenant": name, **msgspec.to_builtins(options)})


async def budgets(call: Call) -> Response:
    """How every budget stands now. Money in dollars."""
    gateway = call.gateway
    try:
        standings = await gateway.gate.standings()
    except ConnectionError:
        raise Failure("unavailable", "the budgets cannot be read at the moment", retry_after=1.0) from None
    shown = []
    for account, standing, ends in standings:
        scale: float = NANO if account.unit == "usd" else 1
        shown.append(
            {
                "account": account.name,
                "unit": account.unit,
                "limit": account.limit / scale,
                "spent": standing.spent / scale,
                "reserved": standing.reserved / scale,
                "ends": ends,
            }
        )
    return as_json({"budgets": shown})


async def paused(call: Call) -> Response:
    """The switch."""
    return as_json(_switch(call, call.gateway.registry.pause))


async def pause(call: Call) -> Response:
    """Turns every saving stage off."""
    reason = read(call.body or b"{}", _Reason).reason
    return as_json(_switch(call, await _changed(call, lambda registry, actor: registry.switch(True, actor, reason))))


async def resume(call: Call) -> Response:
    """Turns them on again, as configured."""
    reason = read(call.body or b"{}", _Reason).reason
    return as_json(_switch(call, await _changed(call, lambda registry, actor: registry.switch(False, actor, reason))))


async def log(call: Call) -> Response:
    """What was done, newest first; `whole` says whether every entry is as it was written."""
    limit = whole_number(call.request.query.get("limit", "100"), "limit", 1, 1_000)
    admin_log = call.gateway.registry.log
    entries = await admin_log.newest(limit)
    return as_json({"entries": entries, "whole": await admin_log.broken() is None})


def _switch(call: Call, state: Pause) -> dict[str, Any]:
    shown: dict[str, Any] = {"paused": state.paused, "survives_restart": call.gateway.registry.lasting}
    if state.at:
        shown |= {"by": state.by, "at": state.at, "reason": state.reason}
    return shown


async def _changed(call: Call, change: Any) -> Any:
    """Carries a change out in the name of the key that asks for it."""
    registry: Registry = call.gateway.registry
    try:
        return await change(registry, call.identity.key_id)
    except STORE_ERRORS as error:
        _log.error("the store of keys cannot be written", error=error)
        raise Failure("unavailable", "the store of keys cannot be written at the moment", retry_after=1.0) from None
