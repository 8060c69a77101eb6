"""`GET /v1/throughput`: queues, limits and endpoints of the models in use."""

from __future__ import annotations

from hapenny.server.call import Call
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response
from hapenny.throughput import view as views


async def view(call: Call) -> Response:
    """As they are now."""
    return as_json({"routes": views.view(call.gateway.parts.dispatchers)})
