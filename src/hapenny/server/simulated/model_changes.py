"""`/simulate/change`: a simulated model gets worse, or says the same in other words, while it serves."""

from __future__ import annotations

import msgspec

from hapenny.core.errors import Failure
from hapenny.server.call import Call, Endpoint
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response
from hapenny.simulation.changes import Change
from hapenny.simulation.provider import SimulatedProvider

PATH = "/simulate/change"


def changes(provider: SimulatedProvider) -> Endpoint:
    """Makes (POST), lists (GET) or takes back (DELETE) changes. A POST is one `Change` as JSON; its `after` counts from
    now."""

    async def answer(call: Call) -> Response:
        if call.request.method == "POST":
            try:
                change = msgspec.json.decode(call.body, type=Change)
                later = msgspec.structs.replace(change, after=provider.calls + change.after)
                if later.model:
                    later = msgspec.structs.replace(later, model=provider.find(later.model)[0].id)
                provider.changes.add(later)
            except (msgspec.DecodeError, ValueError) as error:
                raise Failure("invalid_request", str(error), fix="model, wrong (a share), reworded, after") from None
        elif call.request.method == "DELETE":
            provider.changes.plan.clear()
        return as_json({"calls": provider.calls, "changes": msgspec.to_builtins(provider.changes.plan)})

    return answer
