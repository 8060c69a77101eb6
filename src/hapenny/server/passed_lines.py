"""Lines of a batch of messages that passes through to its provider, after the guardrail of the route each would take.

Only lines that a rule changes are written anew. A batch that is answered here (`batch`) is read line by line anyway.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hapenny.core.errors import Failure
from hapenny.protocols.registry import codec
from hapenny.server.call import Call
from hapenny.server.passable_place import Destination

_DIALECT = "anthropic"


async def guard_lines(call: Call, spot: Destination) -> None:
    """Redacts the requests of a batch, in place; long ones beside the loop.

    Raises:
        Failure: `invalid_request` with the line that a rule blocks, or that cannot be read.
    """
    guards, body = call.gateway.parts.route_guards, spot.body
    if spot.passable.names != "requests" or not isinstance(body, dict):
        return
    lines = body.get("requests")
    if not isinstance(lines, list) or not any(any(each) for each in guards.values()):
        return
    await call.gateway.clock.work("guard", len(call.body) / 1024, lambda: _read(call, lines))


def _read(call: Call, lines: list[Any]) -> None:
    parts, near = call.gateway.parts, codec(_DIALECT)
    for place, line in enumerate(lines):
        params = line.get("params") if isinstance(line, dict) else None
        if not isinstance(params, dict):
            continue
        try:
            request = near.decode_request(msgspec.json.encode(params), model=None, stream=False, headers={})
            route = parts.resolver.route(request, call.context(request), call.identity)
            checked = parts.route_guards[route].line(request)
        except Failure as failure:
            failure.field = f"requests.{place}.params" + (f".{failure.field}" if failure.field else "")
            raise
        if checked is not request:
            line["params"] = msgspec.json.decode(near.encode_request(checked, model=request.model).body)
