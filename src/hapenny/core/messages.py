"""What a request says: blocks, messages, tools, parameters, context.

Everything is a frozen struct: a stage that changes a request makes a new one (`msgspec.structs.replace`), so that
branches of an exchange share what they have in common. `extras` hold what a codec did not understand; they are
forwarded to a backend of the same protocol and are part of the cache key.
"""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from hapenny.core.questions import question_of

Json: TypeAlias = Any
"""A decoded JSON value: dict, list, str, int, float, bool or None."""

Ttl: TypeAlias = Literal["", "default", "5m", "1h"]
"""A provider cache point behind an item: "" is none, "default" leaves the lifetime to the provider."""

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

Protocol: TypeAlias = Literal["openai", "responses", "completions", "anthropic", "bedrock", "invoke"]
"""The wire dialects: OpenAI chat completions, Responses and (older) completions, Anthropic messages, Bedrock Converse,
Bedrock InvokeModel with an Anthropic-native body."""


class Text(Struct, frozen=True, gc=False, tag="text"):
    """Plain text. `citations` are the provider's own citation objects, kept as they came."""

    text: str
    checkpoint: Ttl = ""
    citations: tuple[Json, ...] = ()
    extras: dict[str, Json] = {}


class Image(Struct, frozen=True, gc=False, tag="image"):
    """An image by value (`data`, raw bytes) or by reference (`url`; an s3:// URL for Bedrock)."""

    media_type: str = ""
    data: bytes | None = None
    url: str | None = None
    detail: str | None = None
    checkpoint: Ttl = ""
    extras: dict[str, Json] = {}


class Document(Struct, frozen=True, gc=False, tag="document"):
    """A document by value (`data` bytes or `text`), by its chunks (`content`) or by reference (`url`, a file id)."""

    media_type: str = ""
    data: bytes | None = None
    text: str | None = None
    content: tuple[Json, ...] | None = None
    url: str | None = None
    name: str | None = None
    context: str | None = None
    citations: bool | None = None
    checkpoint: Ttl = ""
    extras: dict[str, Json] = {}


class ToolUse(Struct, frozen=True, gc=False, tag="tool_use"):
    """A call the model asks for. `arguments` is the JSON text as the model wrote it (it may be invalid)."""

    id: str
    name: str
    arguments: str = "{}"
    checkpoint: Ttl = ""
    extras: dict[str, Json] = {}

    def decoded(self) -> dict[str, Any]:
        """The arguments by name; none where the text is no JSON object."""
        try:
            arguments = json.loads(self.arguments or "{}")
        except ValueError:
            return {}
        return arguments if isinstance(arguments, dict) else {}


class ToolResult(Struct, frozen=True, gc=False, tag="tool_result"):
    """What a tool answered. `content` holds text, images, documents or JSON values as `Data`."""

    id: str
    content: tuple[Block, ...] = ()
    error: bool = False
    checkpoint: Ttl = ""
    extras: dict[str, Json] = {}


class Data(Struct, frozen=True, gc=False, tag="data"):
    """A JSON value as content (Bedrock tool results)."""

    value: Json
    checkpoint: Ttl = ""
    extras: dict[str, Json] = {}


class Thinking(Struct, frozen=True, gc=False, tag="thinking"):
    """Signed reasoning of the model: never edited, only dropped whole. `redacted` is the encrypted form."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    extras: dict[str, Json] = {}


class Opaque(Struct, frozen=True, gc=False, tag="opaque"):
    """A block a codec did not understand: forwarded to the same protocol, refused by the others. `extras` hold what
    stands beside it (further fields of its cache point, its place in the message)."""

    protocol: Protocol
    payload: Json
    checkpoint: Ttl = ""
    extras: dict[str, Json] = {}


Block: TypeAlias = Text | Image | Document | ToolUse | ToolResult | Data | Thinking | Opaque


class Message(Struct, frozen=True, gc=False):
    """One turn. Role `tool` holds only tool results (OpenAI); other protocols put them into user turns."""

    role: Role
    content: tuple[Block, ...]
    name: str | None = None
    extras: dict[str, Json] = {}

    @property
    def text(self) -> str:
        """The plain text of the turn, blocks joined by newlines."""
        content = self.content
        if len(content) == 1 and type(content[0]) is Text:
            return content[0].text
        return "\n".join(block.text for block in self.content if isinstance(block, Text))


class Tool(Struct, frozen=True, gc=False):
    """A tool the model may call. `schema` is a JSON schema; `kind` names a provider's own (server) tool."""

    name: str
    description: str | None = None
    schema: Json = None
    strict: bool | None = None
    kind: str = ""
    checkpoint: Ttl = ""
    extras: dict[str, Json] = {}


class ToolChoice(Struct, frozen=True, gc=False):
    """Which tools the model may or must call. `parallel` False forbids several calls in one turn."""

    kind: Literal["auto", "any", "none", "tool"] = "auto"
    name: str | None = None
    parallel: bool | None = None
    extras: dict[str, Json] = {}


class Thinks(Struct, frozen=True, gc=False):
    """Reasoning as asked for: `kind` as Anthropic names it, `budget` in tokens."""

    kind: str = "enabled"
    budget: int | None = None
    extras: dict[str, Json] = {}


class Parameters(Struct, frozen=True, gc=False, kw_only=True):
    """Model parameters. None means: not sent."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    effort: str | None = None
    verbosity: str | None = None
    thinking: Thinks | None = None
    format: Json = None
    """The answer's format: OpenAI's `response_format` object; other codecs translate."""
    service_tier: str | None = None
    """As asked on the wire: standard, priority, flex, auto, default …"""
    latency: Literal["standard", "optimized"] | None = None


class Context(Struct, kw_only=True):
    """Who asks and under which conditions. The tenant comes from the key alone."""

    tenant: str = "default"
    key_id: str = ""
    user: str | None = None
    session: str | None = None
    feature: str | None = None
    intent: str | None = None
    tags: dict[str, str] = {}
    priority: int = 0
    groups: tuple[str, ...] = ()
    """Document-access groups, from the key or a verified token claim only."""
    locale: str | None = None
    route: str | None = None
    """The route asked for by header; the gateway decides."""
    cache_control: tuple[str, ...] = ()
    """Directives of the request's `Cache-Control`, lower-case."""
    headers: dict[str, str] = {}
    """Headers that affect the protocol or guardrails (anthropic-beta, x-amzn-bedrock-…), lower-case names."""


class Request(Struct, frozen=True, gc=False, kw_only=True):
    """One question to a model, in no dialect."""

    protocol: Protocol
    model: str
    messages: tuple[Message, ...]
    system: tuple[Block, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parameters: Parameters = Parameters()
    stream: bool = False
    stream_usage: bool = False
    """OpenAI's `stream_options.include_usage`."""
    store: bool | None = None
    user: str | None = None
    """The end user as the body names it (OpenAI `user`, Anthropic `metadata.user_id`)."""
    metadata: dict[str, Json] = {}
    """Accounting labels of the body (OpenAI `metadata`, Bedrock `requestMetadata`)."""
    checkpoint: Ttl = ""
    """A cache point asked for as a whole (Anthropic's top-level `cache_control`)."""
    api_version: str | None = None
    """The version of the provider's API that the client speaks, where it is not the usual one (`anthropic-version`). It
    decides how an answer is written on the wire, and never what it says."""
    extras: dict[str, Json] = field(default_factory=dict)
    recurs: bool = False
    """The door has met the same body before and hands out this very object for it from now on: what is worked out of it
    may be kept by its identity. Of any other request nothing may be kept beyond its exchange, whatever it holds."""

    @property
    def question(self) -> str:
        """What the person asks: the text of the last user turn without the context beside it, or ""."""
        for message in reversed(self.messages):
            if message.role == "user":
                return question_of(message.text)
        return ""
