"""`GET /v1/throughput`: queues, limits and endpoints of the models in use, and connections to providers."""

from __future__ import annotations

from hapenny.backends.pool import Pool
from hapenny.server.call import Call
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response
from hapenny.throughput import view as views


async def view(call: Call) -> Response:
    """As they are now."""
    pools = {name: getattr(backend, "pool", None) for name, backend in call.gateway.backends.items()}
    connections = {name: pool.health() for name, pool in pools.items() if isinstance(pool, Pool)}
    parts = call.gateway.parts
    return as_json(
        {
            "routes": views.view(parts.dispatchers),
            "utilisation": parts.utilisation.view(),
            "connections": connections,
        }
    )
