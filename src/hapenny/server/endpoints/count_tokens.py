"""Token counts before a call, in the client's dialect."""

from __future__ import annotations

import base64

import msgspec

from hapenny.core.errors import Failure, invalid
from hapenny.core.messages import Request
from hapenny.protocols import fields
from hapenny.protocols.invoke import is_native_anthropic
from hapenny.protocols.registry import codec
from hapenny.server.call import Call
from hapenny.server.transport.messages import Response

_ANTHROPIC, _BEDROCK, _INVOKE = codec("anthropic"), codec("bedrock"), codec("invoke")
_RESPONSES = codec("responses")


async def anthropic(call: Call) -> Response:
    """Anthropic count_tokens."""
    headers = call.request.headers
    outer = fields.load(call.body)
    fields.bound(outer)
    outer.setdefault("max_tokens", 1)
    asked = _ANTHROPIC.decode_request(msgspec.json.encode(outer), model=None, stream=False, headers=headers)
    return await _counted(call, asked, "input_tokens")


async def responses(call: Call) -> Response:
    """OpenAI's count of a Responses request."""
    asked = _RESPONSES.decode_request(call.body, model=None, stream=False, headers=call.request.headers)
    return await _counted(call, asked, "input_tokens", {"object": "response.input_tokens"})


async def bedrock(call: Call) -> Response:
    """Bedrock CountTokens."""
    return await _counted(call, _read(call), "inputTokens")


async def _counted(call: Call, asked: Request, name: str, more: dict[str, str] | None = None) -> Response:
    """The provider's own count where it can be had, else our estimate (then `x-hapenny-count` says `estimated`)."""
    gateway = call.gateway
    exchange = gateway.open(asked, call.context(asked), call.identity, background="count")
    target = exchange.target
    backend = gateway.backends[target.backend]
    try:
        counted = await backend.count(asked, target)
    except Failure:
        counted = None
    how = "reported" if counted is not None else "estimated"
    if counted is None:
        counted = gateway.books.prices.prompt(asked, target)
    headers = {"content-type": "application/json", "x-hapenny-count": how, "x-request-id": exchange.id}
    return Response(msgspec.json.encode({**(more or {}), name: counted}), headers=headers)


def _read(call: Call) -> Request:
    model, headers = call.params["model"], call.request.headers
    outer = fields.load(call.body)
    fields.bound(outer)
    inner = outer.get("input")
    if isinstance(inner, dict) and isinstance(inner.get("converse"), dict):
        body = msgspec.json.encode(inner["converse"])
        return _BEDROCK.decode_request(body, model=model, stream=False, headers=headers)
    native = inner.get("invokeModel") if isinstance(inner, dict) else None
    if isinstance(native, dict) and isinstance(native.get("body"), str):
        try:
            raw = base64.b64decode(native["body"], validate=True)
        except ValueError:
            raise invalid("is no base64", "input.invokeModel.body", "send the body as base64") from None
        if not is_native_anthropic(raw, model):
            raise invalid(
                "is no Anthropic messages body", "input.invokeModel.body", "send messages and anthropic_version"
            )
        return _INVOKE.decode_request(raw, model=model, stream=False, headers=headers)
    raise invalid("holds neither converse nor invokeModel", "input", "send one of them")
