"""What we do not understand passes through to the provider untouched: metered, and priced where it reports its usage.

Unknown paths, OpenAI Responses and embeddings, and InvokeModel bodies of other vendors than Anthropic.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from hapenny.backends.contract import Backend
from hapenny.caching.edge import PRIVATE
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Target
from hapenny.core.messages import Context, Request
from hapenny.gateway.gateway import Gateway
from hapenny.protocols.gauge import Gauge
from hapenny.server.auth import identify
from hapenny.server.transport import messages as web

_KINDS = {
    "/v1/": ("openai", "anthropic", "simulated"),
    "/openai/": ("openai", "bedrock"),
    "/anthropic/": ("anthropic",),
    "/model/": ("bedrock", "simulated"),
}


class _Named(Struct):
    model: str = ""


async def forward(
    gateway: Gateway, request: web.BaseRequest, path: str, model: str | None = None
) -> web.StreamResponse:
    """Sends the request on as it is and streams the answer back.

    Args:
        gateway: whose backends are asked.
        request: as it came.
        path: its path without the query.
        model: the model the path names, decoded; None: the body may name one.

    Raises:
        Failure: `not_found`, where no backend could know the path; `permission`, for a model the key may not ask for.
    """
    body = await request.read()
    identity = identify(gateway.keyring, request.headers, request.method, request.raw_path, body, gateway.clock)
    named = model or _model(body)
    name, backend = _backend(gateway, path, named)
    if named and not identity.may_ask(named):
        raise Failure("permission", f"this key may not ask for the model {named!r}", field="model")
    target = Target(named or path, name)
    asked = Request(protocol="openai", model=target.model, messages=())
    exchange = gateway.parts.exchanges.bare(asked, Context(tenant=identity.tenant, key_id=identity.key_id), target)
    exchange.passthrough = True
    call = exchange.begin_call(target, "serve", "serve", asked)
    call.request = None  # there is nothing to learn or estimate tokens from
    try:
        headers = {key.lower(): value for key, value in request.headers.items()}
        raw = await backend.forward(request.method, request.raw_path, headers, body, exchange.limits)
        gauge = Gauge(raw.headers)
        try:
            kept = {**raw.headers, "x-request-id": exchange.id, **PRIVATE}
            response = web.StreamResponse(status=raw.status, headers=kept)
            exchange.commit()
            await response.prepare(request)
            while (data := await raw.body.read()) is not None:
                if call.began is None:
                    call.began = exchange.first_out = gateway.clock.now()
                gauge.feed(data)
                await response.write(data)
            await response.write_eof()
        finally:
            raw.body.close()
        exchange.delivered = raw.status < 400
        exchange.stopped = "end_turn" if exchange.delivered else None
        # Providers bill nothing for what they refuse.
        call.tokens = gauge.end() if exchange.delivered else Tokens()
        exchange.end_call(call, "complete" if exchange.delivered else "failed")
        return response
    finally:
        exchange.end_call(call, "abandoned")
        gateway.close(exchange)


def _model(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Named).model
    except msgspec.MsgspecError:
        return ""


def _backend(gateway: Gateway, path: str, model: str) -> tuple[str, Backend]:
    """Where the model is configured to be, else the first backend of a kind that may know the path."""
    kinds: tuple[str, ...] = ("bedrock",)
    for prefix, wanted in _KINDS.items():
        if path.startswith(prefix):
            kinds = wanted
    configured = gateway.names.resolve(model).target if model else None
    first = configured.backend if configured is not None else ""
    for kind in kinds:
        for name, options in sorted(gateway.config.backends.items(), key=lambda pair: pair[0] != first):
            backend = gateway.backends.get(name)
            if options.kind == kind and backend is not None:
                return name, backend
    raise Failure(
        "not_found",
        f"nothing is served at {path[:200]!r}, and no configured backend could know it",
        fix=f"a backend of kind {' or '.join(kinds)} passes it on",
    )
