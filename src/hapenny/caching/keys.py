"""The safe key (design §3.2): which requests may share an answer.

Every field of a request is declared here as `answer`, `scope` or `delivery`; a test walks all structs and fails on an
undeclared field. The encoding is injective (MessagePack over nested tuples that carry their type),
the hash is BLAKE2b-256 keyed per deployment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from hapenny.core.exchange import Exchange
from hapenny.core.messages import (
    Context,
    Data,
    Document,
    Image,
    Message,
    Opaque,
    Parameters,
    Request,
    Text,
    Thinking,
    Thinks,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)

VERSION: Final = 1
"""Goes into every key; raise it when the encoding or a declaration changes."""

Part: TypeAlias = Literal["answer", "scope", "delivery"]

_BLOCK: dict[str, Part] = {"checkpoint": "delivery", "extras": "answer"}

DECLARED: dict[type, dict[str, Part]] = {
    Request: {
        # Extras travel to one protocol only: the protocol is part of the key where there are any.
        "protocol": "delivery",
        "model": "answer",
        "messages": "answer",
        "system": "answer",
        "tools": "answer",
        "tool_choice": "answer",
        "parameters": "answer",
        "stream": "delivery",
        "stream_usage": "delivery",
        "store": "delivery",
        "user": "scope",
        "metadata": "delivery",
        "checkpoint": "delivery",
        "extras": "answer",
    },
    Context: {
        "tenant": "scope",
        "key_id": "delivery",
        "user": "scope",
        "session": "delivery",
        "feature": "delivery",
        # The intent may choose models, parameter sets and templates.
        "intent": "answer",
        "tags": "delivery",
        "priority": "delivery",
        "groups": "scope",
        "locale": "scope",
        "route": "delivery",
        "cache_control": "delivery",
        "headers": "answer",
    },
    Message: {"role": "answer", "content": "answer", "name": "answer", "extras": "answer"},
    Text: {"text": "answer", "citations": "answer", **_BLOCK},
    Image: {"media_type": "answer", "data": "answer", "url": "answer", "detail": "answer", **_BLOCK},
    Document: {
        "media_type": "answer",
        "data": "answer",
        "text": "answer",
        "content": "answer",
        "url": "answer",
        "name": "answer",
        "context": "answer",
        "citations": "answer",
        **_BLOCK,
    },
    # Ids of tool calls are drawn anew each time: their order of appearance stands for them.
    ToolUse: {"id": "answer", "name": "answer", "arguments": "answer", **_BLOCK},
    ToolResult: {"id": "answer", "content": "answer", "error": "answer", **_BLOCK},
    Data: {"value": "answer", "checkpoint": "delivery"},
    Thinking: {"text": "answer", "signature": "answer", "redacted": "answer", "extras": "answer"},
    Opaque: {"protocol": "answer", "payload": "answer", "checkpoint": "delivery"},
    Tool: {
        "name": "answer",
        "description": "answer",
        "schema": "answer",
        "strict": "answer",
        "kind": "answer",
        **_BLOCK,
    },
    ToolChoice: {"kind": "answer", "name": "answer", "parallel": "answer"},
    Thinks: {"kind": "answer", "budget": "answer", "extras": "answer"},
    Parameters: {
        "max_tokens": "answer",
        "temperature": "answer",
        "top_p": "answer",
        "top_k": "answer",
        "stop": "answer",
        "seed": "answer",
        "n": "answer",
        "presence_penalty": "answer",
        "frequency_penalty": "answer",
        "effort": "answer",
        "verbosity": "answer",
        "thinking": "answer",
        "format": "answer",
        # The same model answers, sooner or cheaper.
        "service_tier": "delivery",
        "latency": "delivery",
    },
}

_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(name for name, part in fields.items() if part == "answer") for kind, fields in DECLARED.items()
}
_NAMES: dict[type, str] = {kind: kind.__name__ for kind in DECLARED}

_MUTABLE_EXTRAS = frozenset(
    {"previous_response_id", "conversation", "container", "background", "web_search_options", "mcp_servers", "plugins"}
)
"""Body fields that tie an answer to state on the server or to the world outside."""


def uncacheable(exchange: Exchange, *, any_temperature: bool = False) -> str:
    """Why this request may neither be answered from a cache nor stored nor coalesced; "" if it may.

    Args:
        any_temperature: the route's consent to temperatures above 0 or unset.
    """
    request = exchange.request
    parameters = request.parameters
    directives = exchange.context.cache_control
    reason = ""
    if "no-store" in directives:
        reason = "no-store"
    elif request.store is False:
        reason = "store=false"
    elif parameters.n is not None and parameters.n > 1:
        reason = "n>1"
    elif not any_temperature and parameters.temperature != 0:
        reason = "temperature"
    elif not _MUTABLE_EXTRAS.isdisjoint(request.extras):
        reason = "server-state"
    elif any(tool.kind for tool in request.tools):
        reason = "server-tool"
    elif any(_refers(block) for message in request.messages for block in message.content):
        reason = "mutable-reference"
    return reason


def _refers(block: Any) -> bool:
    """Whether a block points at something that may change without the request changing."""
    if isinstance(block, (Image, Document)):
        return block.url is not None
    if isinstance(block, ToolResult):
        return any(_refers(inner) for inner in block.content)
    return isinstance(block, Opaque)


class Keys:
    """Makes keys for one deployment.

    Args:
        secret: keys the hash; two deployments with different secrets share nothing.
        scope: "tenant" shares answers among a tenant's users, "user" keeps those of a named user apart.
    """

    def __init__(self, secret: bytes, scope: Literal["user", "tenant"] = "tenant") -> None:
        self._secret = hashlib.blake2b(secret, digest_size=32).digest()
        self._scope = scope
        self._encode = msgspec.msgpack.Encoder(order="deterministic").encode

    def key(self, exchange: Exchange) -> bytes:
        """The 32-byte key of the request as it stands; the same request on the same exchange is hashed once."""
        request = exchange.request
        known = exchange.memo.get("key")
        if known is not None and known[0] is request:
            return known[1]  # type: ignore[no-any-return]
        key = hashlib.blake2b(self.encoded(exchange), digest_size=32, key=self._secret).digest()
        exchange.memo["key"] = (request, key)
        return key

    def encoded(self, exchange: Exchange) -> bytes:
        """The canonical encoding that is hashed; injective over everything declared `answer` or `scope`."""
        context, request = exchange.context, exchange.request
        user = (context.user, request.user) if self._scope == "user" else None
        whole = (
            VERSION,
            (context.tenant, user, sorted(context.groups), context.locale),
            (exchange.route, exchange.policy, sorted(exchange.arms.items())),
            (exchange.intent, sorted(context.headers.items())),
            request.protocol if _has_extras(request) else None,
            _canonical(request, _ordinals(request)),
        )
        return self._encode(whole)

    def fingerprint(self, *parts: Any) -> bytes:
        """A keyed 32-byte hash of any encodable parts (result fingerprints, ledger fingerprints)."""
        return hashlib.blake2b(self._encode(parts), digest_size=32, key=self._secret).digest()


def _ordinals(request: Request) -> Callable[[str], int]:
    numbers: dict[str, int] = {}
    return lambda id_: numbers.setdefault(id_, len(numbers))


def _canonical(value: Any, ordinal: Callable[[str], int]) -> Any:
    kind = type(value)
    if kind is Text:  # by far the most frequent
        if not value.citations and not value.extras:
            return ("Text", value.text)
        return ("Text", value.text, value.citations, value.extras)
    fields = _FIELDS.get(kind)
    if fields is None:
        if kind is tuple or kind is list:
            return [_canonical(item, ordinal) for item in value]
        if isinstance(value, bytes) and len(value) > 64:
            return ("blob", hashlib.blake2b(value, digest_size=32).digest())
        return value
    if kind is ToolUse or kind is ToolResult:
        rest = [_canonical(getattr(value, name), ordinal) for name in fields if name != "id"]
        return (_NAMES[kind], ordinal(value.id), *rest)
    return (_NAMES[kind], *[_canonical(getattr(value, name), ordinal) for name in fields])


def _has_extras(request: Request) -> bool:
    """Whether anything in the request can reach one protocol only."""
    return bool(request.extras) or any(
        getattr(block, "extras", None) or isinstance(block, Opaque)
        for message in request.messages
        for block in (message, *message.content)
    )
