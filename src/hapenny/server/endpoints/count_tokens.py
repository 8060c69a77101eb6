"""Token counts before a call, in the client's dialect."""

from __future__ import annotations

import msgspec

from hapenny.core.errors import Failure, invalid
from hapenny.core.messages import Request
from hapenny.gateway.gateway import Gateway
from hapenny.protocols import fields
from hapenny.protocols.codec import Codec
from hapenny.protocols.invoke import is_native_anthropic
from hapenny.protocols.registry import codec
from hapenny.server.auth import context_of, identify
from hapenny.server.transport import messages as web


async def count_tokens(
    gateway: Gateway, request: web.BaseRequest, dialect: Codec, model: str | None
) -> web.StreamResponse:
    """Bedrock CountTokens and Anthropic count_tokens: the provider's own count where it can be had, else our estimate
    (then the header `x-hapenny-count` says `estimated`)."""
    body = await request.read()
    identity = identify(gateway.keyring, request.headers, request.method, request.raw_path, body, gateway.clock)
    if dialect.name == "bedrock":
        asked = _bedrock(body, model, request)
    else:
        asked = _anthropic(body, dialect, request)
    exchange = gateway.open(asked, context_of(identity, request.headers, asked), identity, background="count")
    target = exchange.target
    backend = gateway.backends[target.backend]
    try:
        counted = await backend.count(asked, target)
    except Failure:
        counted = None
    how = "reported" if counted is not None else "estimated"
    if counted is None:
        counted = gateway.books.prices.prompt(asked, target)
    name = "inputTokens" if dialect.name == "bedrock" else "input_tokens"
    headers = {"Content-Type": "application/json", "x-hapenny-count": how, "x-request-id": exchange.id}
    return web.Response(body=msgspec.json.encode({name: counted}), headers=headers)


def _bedrock(body: bytes, model: str | None, request: web.BaseRequest) -> Request:
    outer = fields.load(body)
    fields.bound(outer)
    inner = outer.get("input")
    if isinstance(inner, dict) and isinstance(inner.get("converse"), dict):
        return codec("bedrock").decode_request(
            msgspec.json.encode(inner["converse"]), model=model, stream=False, headers=request.headers
        )
    native = inner.get("invokeModel") if isinstance(inner, dict) else None
    if isinstance(native, dict) and isinstance(native.get("body"), str):
        import base64
        import binascii

        try:
            raw = base64.b64decode(native["body"], validate=True)
        except (binascii.Error, ValueError):
            raise invalid("is no base64", "input.invokeModel.body", "send the body as base64") from None
        if not is_native_anthropic(raw, model or ""):
            raise invalid(
                "is no Anthropic messages body", "input.invokeModel.body", "send messages and anthropic_version"
            )
        return codec("invoke").decode_request(raw, model=model, stream=False, headers=request.headers)
    raise invalid("holds neither converse nor invokeModel", "input", "send one of them")


def _anthropic(body: bytes, dialect: Codec, request: web.BaseRequest) -> Request:
    outer = fields.load(body)
    fields.bound(outer)
    outer.setdefault("max_tokens", 1)
    return dialect.decode_request(msgspec.json.encode(outer), model=None, stream=False, headers=request.headers)
