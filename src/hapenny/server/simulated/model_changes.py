"""`/simulate/change`: a simulated model gets worse, or says the same in other words, while it serves."""

from __future__ import annotations

import msgspec

from hapenny.server.endpoints.models import shown
from hapenny.server.transport import messages as web
from hapenny.simulation.changes import Change
from hapenny.simulation.provider import SimulatedProvider

PATH = "/simulate/change"


async def changes(provider: SimulatedProvider, request: web.BaseRequest, path: str) -> web.Response | None:
    """Makes (POST), lists (GET) or takes back (DELETE) changes; None for any other request.

    A POST is one `Change` as JSON; its `after` counts from now.
    """
    if path != PATH:
        return None
    if request.method == "POST":
        try:
            change = msgspec.json.decode(await request.read(), type=Change)
            later = msgspec.structs.replace(change, after=provider.calls + change.after)
            if later.model:
                later = msgspec.structs.replace(later, model=provider.find(later.model)[0].id)
            provider.changes.add(later)
        except (msgspec.DecodeError, ValueError) as error:
            return web.Response(
                body=msgspec.json.encode({"error": f"{error}. Fix: model, wrong (a share), reworded, after"}),
                status=400,
                headers={"Content-Type": "application/json"},
            )
    elif request.method == "DELETE":
        provider.changes.plan.clear()
    elif request.method != "GET":
        return None
    return shown({"calls": provider.calls, "changes": msgspec.to_builtins(provider.changes.plan)})
