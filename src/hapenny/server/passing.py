"""Paths we do not understand pass through to the provider: metered, and `unpriced`."""

from __future__ import annotations

from hapenny.backends.contract import Backend
from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.core.messages import Context, Request
from hapenny.gateway import Gateway
from hapenny.server import http as web
from hapenny.server.who import identify

_KINDS = {"/v1/": ("openai", "anthropic"), "/openai/": ("openai", "bedrock"), "/anthropic/": ("anthropic",)}


async def forward(gateway: Gateway, request: web.BaseRequest, path: str) -> web.StreamResponse:
    """Sends the request on as it is and streams the answer back.

    Raises:
        Failure: `not_found`, where no backend could know the path.
    """
    body = await request.read()
    identity = identify(gateway.keyring, request.headers, request.method, request.raw_path, body, gateway.clock)
    name, backend = _backend(gateway, path)
    model = path.split("/")[2] if path.startswith("/model/") else path
    asked = Request(protocol="openai", model=model, messages=())
    exchange = gateway.bare(asked, Context(tenant=identity.tenant, key_id=identity.key_id), Target(model, name))
    call = exchange.begin_call(exchange.target, "serve", "serve", asked)
    try:
        headers = {key.lower(): value for key, value in request.headers.items()}
        raw = await backend.forward(request.method, request.raw_path, headers, body, exchange.limits)
        try:
            response = web.StreamResponse(status=raw.status, headers={**raw.headers, "x-request-id": exchange.id})
            await response.prepare(request)
            while (data := await raw.body.read()) is not None:
                await response.write(data)
            await response.write_eof()
        finally:
            raw.body.close()
        exchange.delivered = raw.status < 400
        exchange.stopped = "end_turn" if exchange.delivered else None
        exchange.end_call(call, "complete" if raw.status < 400 else "failed")
        return response
    finally:
        exchange.end_call(call, "abandoned")
        gateway.close(exchange)


def _backend(gateway: Gateway, path: str) -> tuple[str, Backend]:
    kinds: tuple[str, ...] = ("bedrock",)
    for prefix, wanted in _KINDS.items():
        if path.startswith(prefix):
            kinds = wanted
    for kind in kinds:
        for name, options in gateway.config.backends.items():
            backend = gateway.backends.get(name)
            if options.kind == kind and backend is not None:
                return name, backend
    raise Failure("not_found", f"nothing is served at {path[:200]!r}", fix="see the list of paths in the manual")
