"""`GET /metrics`: for Prometheus."""

from __future__ import annotations

from hapenny.server.call import Call
from hapenny.server.transport.messages import Response


async def render(call: Call) -> Response:
    """All metrics, as text."""
    return Response(call.gateway.recorder.metrics.render(), headers={"content-type": "text/plain; version=0.0.4"})
