"""Pages about the gateway itself: health, metrics, models, and what a request cost."""

from __future__ import annotations

from typing import Any

import msgspec

from hapenny.core.errors import Failure
from hapenny.gateway.gateway import Gateway
from hapenny.server.auth import identify
from hapenny.server.transport import messages as web
from hapenny.throughput.view import view


async def page(gateway: Gateway, request: web.BaseRequest, path: str, *, draining: bool) -> web.Response | None:
    """The page at `path`, or None if there is none of ours."""
    if path == "/health/live":
        return shown({"status": "alive"})
    if path == "/health/ready":
        if draining:
            return shown({"status": "draining"}, 503)
        return shown({"status": "ready", "models": len(gateway.names.names())})
    if path == "/metrics":
        return web.Response(
            body=gateway.recorder.metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )
    if path == "/v1/throughput":
        identify(gateway.keyring, request.headers, "GET", request.raw_path, b"", gateway.clock)
        return shown({"routes": view(gateway.parts.dispatchers)})
    if path == "/v1/models":
        return _models(gateway, request)
    if path.startswith("/v1/requests/"):
        return await _request(gateway, request, path.removeprefix("/v1/requests/"))
    return None


def _models(gateway: Gateway, request: web.BaseRequest) -> web.Response:
    identity = identify(gateway.keyring, request.headers, "GET", request.raw_path, b"", gateway.clock)
    names = [name for name in gateway.names.names() if identity.may_ask(name)]
    if "anthropic-version" in request.headers:
        items: list[dict[str, Any]] = [
            {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"} for name in names
        ]
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return shown({"data": items, "has_more": False, **ends})
    items = [{"id": name, "object": "model", "created": 0, "owned_by": "hapenny"} for name in names]
    return shown({"object": "list", "data": items})


async def _request(gateway: Gateway, request: web.BaseRequest, request_id: str) -> web.Response:
    """What is known of one request; only its own tenant may read it."""
    identity = identify(gateway.keyring, request.headers, "GET", request.raw_path, b"", gateway.clock)
    row = await gateway.ledger.get(request_id) if gateway.ledger is not None else None
    if row is None or row.tenant != identity.tenant:
        raise Failure("not_found", f"no request {request_id[:64]!r} in the ledger")
    return shown(row)


def shown(value: Any, status: int = 200) -> web.Response:
    """`value` as a JSON page."""
    return web.Response(status=status, body=msgspec.json.encode(value), headers={"Content-Type": "application/json"})
