"""The safe key (design §3.2): which requests may share an answer.

Every field of a request is declared here as `answer`, `scope` or `delivery`; a test walks all structs and fails on an
undeclared field. The encoding is injective (MessagePack over structs that carry their type),
the hash is BLAKE2b-256 keyed per deployment, of long requests over their SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final, Literal, TypeAlias

import msgspec

from hapenny.core.exchange import Exchange
from hapenny.core.messages import (
    Block,
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
from hapenny.core.notes import Note
from hapenny.core.shape import OfRequests

VERSION: Final = 2
"""Goes into every key; raise it when the encoding or a declaration changes."""

KEY: Note[tuple[Request, bytes]] = Note("caching.key")
"""A request of this exchange and its safe key, so that several stages need not hash it again."""

Scope: TypeAlias = Literal["user", "tenant", "shared"]
Part: TypeAlias = Literal["answer", "scope", "delivery"]

_BLOCK: dict[str, Part] = {"checkpoint": "delivery", "extras": "answer"}

DECLARED: dict[type, dict[str, Part]] = {
    Request: {
        # Part of the key wherever it might matter (`_neutral`): plain questions share answers through every door.
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
        "api_version": "delivery",
        "extras": "answer",
        "recurs": "delivery",
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
    Data: {"value": "answer", **_BLOCK},
    Thinking: {"text": "answer", "signature": "answer", "redacted": "answer", "extras": "answer"},
    Opaque: {"protocol": "answer", "payload": "answer", **_BLOCK},
    Tool: {
        "name": "answer",
        "description": "answer",
        "schema": "answer",
        "strict": "answer",
        "kind": "answer",
        **_BLOCK,
    },
    ToolChoice: {"kind": "answer", "name": "answer", "parallel": "answer", "extras": "answer"},
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

_ANSWER: tuple[str, ...] = tuple(name for name, part in DECLARED[Request].items() if part == "answer")
_DELIVERY: dict[type, dict[str, Any]] = {
    kind: {
        field.name: field.default
        for field in msgspec.structs.fields(kind)
        if fields[field.name] == "delivery" and field.default is not msgspec.NODEFAULT
    }
    for kind, fields in DECLARED.items()
    if kind not in (Request, Context)
}
"""What delivery fields of nested structs are set to before they are encoded."""

_SHORT = 4_096
"""Bytes of a request that are hashed as they are; more are shortened by SHA-256 before, which processors have built in.
No such digest is taken for a request of its own: 32 bytes encode none."""
_REMEMBERED_BYTES = 16_384
"""Of what size a request whose digest is remembered is at most."""

_MUTABLE_EXTRAS = frozenset(
    {
        "previous_response_id",
        "conversation",
        "container",
        "background",
        "web_search_options",
        "mcp_servers",
        "plugins",
        "prompt",
    }
)
"""Body fields that tie an answer to state on the server or to the world outside."""

_DRAFT = re.compile(r":prompt/[^:/]+$")
"""ARN of a managed prompt without a version: the working draft, which its owner may change at any time."""


def key_of(exchange: Exchange) -> bytes | None:
    """The safe key that a cache looked up; None where none did."""
    known = exchange.stage_notes.get(KEY)
    return known[1] if known is not None else None


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
    elif request.tools and any(tool.kind for tool in request.tools):
        reason = "server-tool"
    else:
        for block in request.system:
            if type(block) is not Text and _refers(block):
                return "mutable-reference"
        for message in request.messages:
            for block in message.content:
                if type(block) is not Text and _refers(block):
                    return "mutable-reference"
        if _DRAFT.search(request.model) or _DRAFT.search(exchange.target.model):
            reason = "mutable-reference"
    return reason


def _refers(block: Block) -> bool:
    """Whether a block points at something that may change without the request changing."""
    if isinstance(block, Image):
        return block.url is not None
    if isinstance(block, Document):
        # Chunks of a document may be images by reference; text is what it says.
        return block.url is not None or any(_not_text(chunk) for chunk in block.content or ())
    if isinstance(block, ToolResult):
        return any(_refers(inner) for inner in block.content)
    return isinstance(block, Opaque)


def _not_text(chunk: Any) -> bool:
    return not isinstance(chunk, dict) or chunk.get("type", "text") != "text"


class Keys:
    """Makes keys for one deployment.

    Args:
        secret: keys the hash; two deployments with different secrets share nothing.
        scope: "tenant" shares answers among a tenant's users, "user" keeps those of a named user apart, "shared" is
            declared by an operator whose route gives everyone the same answers: tenants share them too.
    """

    def __init__(self, secret: bytes, scope: Scope = "tenant") -> None:
        self._secret = hashlib.blake2b(secret, digest_size=32).digest()
        self._scope = scope
        self.shared = scope == "shared"
        """Whether tenants share answers."""
        self._encode = msgspec.msgpack.Encoder(order="deterministic").encode
        self._digests = OfRequests[bytes]()

    def key(self, exchange: Exchange) -> bytes:
        """The 32-byte key of the request as it stands; the same request on the same exchange is hashed once."""
        request = exchange.request
        known = exchange.stage_notes.get(KEY)
        if known is not None and known[0] is request:
            return known[1]
        key = hashlib.blake2b(self.encoded(exchange), digest_size=32, key=self._secret).digest()
        exchange.stage_notes[KEY] = (request, key)
        return key

    def encoded(self, exchange: Exchange) -> bytes:
        """The canonical encoding that is hashed: everything declared `scope`, and a digest of everything declared
        `answer`; injective as far as BLAKE2b has no collisions."""
        context, request = exchange.context, exchange.request
        whole = (
            VERSION,
            self._whose(context, request),
            (exchange.route, exchange.policy, sorted(exchange.arms.items())),
            (exchange.intent, sorted(context.headers.items())),
            self._asked(request),
        )
        return self._encode(whole)

    def question(self, exchange: Exchange) -> bytes:
        """32 bytes for what is asked, by whom and where, whatever decides the answer: the key without the policy, its
        versions and epoch, arms and intent. Demand outlives those."""
        context, request = exchange.context, exchange.original
        return self.fingerprint(
            self._whose(context, request), exchange.route, sorted(context.headers.items()), self._asked(request)
        )

    def _whose(self, context: Context, request: Request) -> tuple[Any, ...]:
        user = (context.user, request.user) if self._scope == "user" else None
        return None if self.shared else context.tenant, user, sorted(context.groups), context.locale

    def _asked(self, request: Request) -> bytes:
        """A digest of what is asked, remembered by the request: the doors decode equal bodies to one and the same."""
        known = self._digests.get(request)
        if known is not None:
            return known
        protocol = None if _neutral(request) else request.protocol
        asked = _normal(request)
        try:
            encoded = self._encode((protocol, asked))
        except OverflowError:  # a whole number of more than 64 bits, somewhere in a schema or in extras
            encoded = self._encode((protocol, _spelt(asked)))
        short = encoded if len(encoded) <= _SHORT else hashlib.sha256(encoded).digest()
        digest = hashlib.blake2b(short, digest_size=32, key=self._secret).digest()
        self._digests.put(request, digest, small=len(encoded) <= _REMEMBERED_BYTES)
        return digest

    def fingerprint(self, *parts: Any) -> bytes:
        """A keyed 32-byte hash of any encodable parts (result fingerprints, ledger fingerprints)."""
        return hashlib.blake2b(self._encode(parts), digest_size=32, key=self._secret).digest()


def _normal(request: Request) -> list[Any]:
    """The answer fields of a request in normal form: delivery fields of nested structs at their defaults, ids of tool
    calls replaced by their order of appearance. Structs that are in normal form already, nearly all, stay as they are
    and are encoded in C."""
    numbers: dict[str, str] = {}
    if not request.tools and not request.tool_choice and not request.extras and _bare(request):
        asked = request.parameters
        if asked.service_tier is None and asked.latency is None:
            return [getattr(request, name) for name in _ANSWER]
    return [_clean(getattr(request, name), numbers) for name in _ANSWER]


def _bare(request: Request) -> bool:
    """Whether a request is plain text without cache points: it is in normal form."""
    for block in request.system:
        if type(block) is not Text or block.checkpoint:
            return False
    for message in request.messages:
        for block in message.content:
            if type(block) is not Text or block.checkpoint:
                return False
    return True


def _clean(value: Any, numbers: dict[str, str]) -> Any:
    kind = type(value)
    if kind is Text:  # by far the most frequent
        return value if not value.checkpoint else msgspec.structs.replace(value, checkpoint="")
    if kind is tuple:
        return [_clean(item, numbers) for item in value]
    if kind is Message:
        content = value.content
        if len(content) == 1 and type(content[0]) is Text and not content[0].checkpoint:
            return value
        return msgspec.structs.replace(value, content=tuple(_clean(block, numbers) for block in content))
    reset = _DELIVERY.get(kind)
    if reset is None:
        return value
    changed = {name: default for name, default in reset.items() if getattr(value, name) != default}
    if kind is ToolUse or kind is ToolResult:
        changed["id"] = numbers.setdefault(value.id, str(len(numbers)))
    if kind is ToolResult:
        changed["content"] = tuple(_clean(block, numbers) for block in value.content)
    return msgspec.structs.replace(value, **changed) if changed else value


def _spelt(value: Any) -> Any:
    """`value` with whole numbers that MessagePack does not know spelt out, as a type of their own."""
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else msgspec.msgpack.Ext(1, str(value).encode())
    if isinstance(value, dict):
        return {name: _spelt(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelt(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **{n: _spelt(getattr(value, n)) for n in value.__struct_fields__})
    return value


def _neutral(request: Request) -> bool:
    """Whether the request means the same through every door: plain text turns and nothing that only its own protocol
    can say, or that codecs word differently for a foreign one. What is not plainly so counts as not."""
    asked = request.parameters
    if request.protocol == "completions":  # a text that goes on is not a question
        return False
    if request.extras or asked.effort is not None or asked.thinking is not None or asked.format is not None:
        return False
    if asked.verbosity is not None or (asked.temperature is not None and asked.temperature > 1):
        return False
    role = "user"
    for message in request.messages:
        if message.role != role or message.extras or not message.content or not all(map(_words, message.content)):
            return False
        role = "assistant" if role == "user" else "user"
    for tool in request.tools:
        if tool.extras or tool.kind:
            return False
    return all(map(_words, request.system))


def _words(block: Block) -> bool:
    return type(block) is Text and bool(block.text) and not block.extras and not block.citations
