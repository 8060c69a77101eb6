"""Bedrock Converse: the whole answer, both ways, and what it reports of tokens (`inputTokens` leaves out what was read
from or written to the cache)."""

from __future__ import annotations

from typing import Any

from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Completion,
    Event,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    Tokens,
    ToolCallDelta,
    Usage,
)
from hapenny.core.messages import Block, Opaque, Request, Text, Thinking, ToolUse
from hapenny.protocols import citations
from hapenny.protocols import fields as f
from hapenny.protocols.anthropic.answer import arguments
from hapenny.protocols.stops import BEDROCK, FROM_BEDROCK, reason_for, word_for

_TOP = {"output", "stopReason", "usage", "additionalModelResponseFields"}
_UNIONS = (
    "text",
    "toolUse",
    "reasoningContent",
    "citationsContent",
    "image",
    "toolResult",
    "document",
    "video",
    "audio",
)
WORD = "bedrock.word"
"""The key under which a choice's extras hold (our reason, the wire's word), where the word alone does not say it."""
BESIDE = "bedrock.beside"
"""The key for what stands beside the one member of a block."""


def decode(body: bytes, model: str, id_: str, created: float) -> list[Event]:
    """The events of a Converse answer. The wire names neither model nor id: they are the caller's."""
    data = f.load_upstream(body)
    output = data.get("output")
    message = output.get("message") if type(output) is dict else None
    content = message.get("content") if type(message) is dict else None
    if type(output) is not dict or type(message) is not dict or type(content) is not list:
        raise Failure("upstream", "The provider's answer has no content.")
    extras = {
        "bedrock": left(data, *_TOP, *_END),
        "bedrock.output": left(output, "message"),
        "bedrock.message": left(message, "role", "content"),
    }
    extras = {owner: fields for owner, fields in extras.items() if fields}
    events: list[Event] = [Started(id_, _invoked(data) or model, created, extras=extras)]
    for index, block in enumerate(content):
        if type(block) is not dict:
            raise Failure("upstream", "The provider's answer has a block that is no object.")
        _block(block, index, events)
    if (word := data.get("stopReason")) is not None:
        called = any(type(event) is BlockStarted and event.kind == "tool_use" for event in events)
        events.append(stopped(word, data.get("additionalModelResponseFields"), called))
    if type(data.get("usage")) is dict:
        events.append(counted(data))
    return events


def left(data: dict[str, Any], *known: str) -> dict[str, Any]:
    """What of `data` is not known."""
    return {key: value for key, value in data.items() if key not in known and value is not None}


def _invoked(data: dict[str, Any]) -> str:
    """The model that a prompt router chose."""
    trace = data.get("trace")
    router = trace.get("promptRouter") if type(trace) is dict else None
    return f.text(router.get("invokedModelId")) if type(router) is dict else ""


def stopped(word: Any, more: Any, called: bool = False) -> Stopped:
    """The event that a stop reason makes. `called`: whether the answer holds calls of the client's tools."""
    sequence = more.get("stop_sequence") if type(more) is dict else None
    reason, kept = reason_for(f.text(word), FROM_BEDROCK, called=called)
    extras: dict[str, Any] = {"bedrock": {"additionalModelResponseFields": more}} if more is not None else {}
    if kept is not None:
        extras[WORD] = kept
    return Stopped(reason, 0, f.text(sequence) or None, extras)


_END = ("metrics", "trace", "performanceConfig", "serviceTier")


def member(block: dict[str, Any]) -> tuple[str, Any]:
    """The one member of a union that we know, or its first."""
    for kind in _UNIONS:
        if kind in block:
            return kind, block[kind]
    return next(iter(block.items()), ("", None))


def _block(block: dict[str, Any], index: int, events: list[Event]) -> None:
    kind, value = member(block)
    owned: dict[str, Any] = {}
    if len(block) > 1 and (beside := left(block, kind)):
        owned[BESIDE] = beside
    if kind == "text":
        events.append(BlockStarted(index, "text", payload=owned or None))
        events.append(TextDelta(f.text(value), index))
    elif kind == "toolUse" and type(value) is dict and "type" not in value:
        if own := left(value, "toolUseId", "name", "input"):
            owned["bedrock"] = own
        id_, name = f.text(value.get("toolUseId")), f.text(value.get("name"))
        events.append(BlockStarted(index, "tool_use", 0, id_, name, owned or None))
        events.append(ToolCallDelta(f.arguments_of(value.get("input", {})), index))
    elif kind == "reasoningContent" and type(value) is dict:
        if own := left(value, "reasoningText", "redactedContent"):
            owned["bedrock"] = own
        inner = value.get("reasoningText")
        if type(inner) is dict and (more := left(inner, "text", "signature")):
            owned["bedrock.reasoningText"] = more
        events.append(BlockStarted(index, "thinking", payload=owned or None))
        if type(inner) is dict:
            events.append(ThinkingDelta(f.text(inner.get("text")), index))
            if signature := f.text(inner.get("signature")):
                events.append(SignatureDelta(signature, index))
        else:
            events.append(ThinkingDelta("", index, redacted=f.text(value.get("redactedContent"))))
    elif kind == "citationsContent" and type(value) is dict:
        _cited(value, owned, index, events)
    else:
        events.append(BlockStarted(index, "other", payload=Opaque("bedrock", block)))
    events.append(BlockStopped(index))


def _cited(value: dict[str, Any], owned: dict[str, Any], index: int, events: list[Event]) -> None:
    given = value.get("content")
    parts = [part for part in given if type(part) is dict] if type(given) is list else []
    shapes = [{"length": len(f.text(part.get("text"))), **left(part, "text")} for part in parts]
    if len(shapes) != 1 or len(shapes[0]) > 1:
        owned["bedrock.parts"] = shapes
    if own := left(value, "content", "citations"):
        owned["bedrock"] = own
    events.append(BlockStarted(index, "text", payload={**owned, "bedrock.cited": True}))
    events.extend(TextDelta(f.text(part.get("text")), index) for part in parts)
    notes = value.get("citations")
    events.extend(CitationDelta(note, index) for note in (notes if type(notes) is list else ()))


def encode(completion: Completion, request: Request) -> bytes:
    """The Converse answer for `completion`: its first choice."""
    choice = completion.choices[0] if completion.choices else None
    content: list[Any] = []
    message = {"role": "assistant", "content": content, **completion.extras.get("bedrock.message", {})}
    out: dict[str, Any] = {
        "output": {"message": message, **completion.extras.get("bedrock.output", {})},
        "stopReason": "end_turn",
    }
    if choice is not None:
        content.extend(written for block in choice.content if (written := _written(block)) is not None)
        if choice.reason is not None:
            out["stopReason"] = word_for(choice.reason, BEDROCK, choice.extras.get(WORD))
        out.update(choice.extras.get("bedrock", {}))
    out.update(metadata(completion.tokens, completion.extras))
    out.update(completion.extras.get("bedrock", {}))
    return f.encode(out)


def _written(block: Block) -> dict[str, Any] | None:
    if isinstance(block, Opaque):
        return block.payload if block.protocol == "bedrock" else None
    extras = block.extras
    own, beside = extras.get("bedrock", {}), extras.get(BESIDE, {})
    match block:
        case Text():
            notes = citations.written("bedrock", block.citations, 0, len(block.text))
            if notes or "bedrock.cited" in extras:
                cited = {"content": _parts(block.text, extras.get("bedrock.parts")), "citations": notes, **own}
                return {"citationsContent": cited, **beside}
            return {"text": block.text, **beside}
        case ToolUse():
            use = {"toolUseId": block.id, "name": block.name, "input": arguments(block.arguments)}
            return {"toolUse": {**use, **own}, **beside}
        case Thinking():
            if block.redacted is not None:
                return {"reasoningContent": {"redactedContent": block.redacted, **own}, **beside}
            inner: dict[str, Any] = {"text": block.text}
            if block.signature is not None:
                inner["signature"] = block.signature
            inner.update(extras.get("bedrock.reasoningText", {}))
            return {"reasoningContent": {"reasoningText": inner, **own}, **beside}
        case _:
            return None


def _parts(written: str, shapes: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Cited text in the parts in which it came, unless it is another text by now."""
    if not shapes or sum(shape["length"] for shape in shapes) != len(written):
        return [{"text": written}]
    parts, place = [], 0
    for shape in shapes:
        more = {key: value for key, value in shape.items() if key != "length"}
        parts.append({"text": written[place : place + shape["length"]], **more})
        place += shape["length"]
    return parts


def _tokens(usage: dict[str, Any]) -> Tokens:
    """Counts from a usage object. Writes without a lifetime count as the short one."""
    written = f.count(usage.get("cacheWriteInputTokens"))
    long = 0
    details = usage.get("cacheDetails")
    for detail in details if type(details) is list else ():
        if type(detail) is dict and detail.get("ttl") == "1h":
            long += f.count(detail.get("inputTokens"))
    long = min(long, written)
    return Tokens(
        input=f.count(usage.get("inputTokens")),
        output=f.count(usage.get("outputTokens")),
        cache_read=f.count(usage.get("cacheReadInputTokens")),
        cache_write=written - long,
        cache_write_1h=long,
    )


def counted(data: dict[str, Any], raw: bytes | None = None) -> Usage:
    """The event that a usage object and what stands beside it make."""
    extras = {key: data[key] for key in _BESIDE if data.get(key) is not None}
    used = data["usage"]
    if not used.keys() <= _COUNTED and (more := left(used, *_COUNTED)):
        extras["usage"] = more
    details = used.get("cacheDetails")
    if type(details) is list and any(type(one) is dict and not one.keys() <= {"ttl", "inputTokens"} for one in details):
        extras.setdefault("usage", {})["cacheDetails"] = details
    return Usage(_tokens(used), {"bedrock.usage": extras} if extras else {}, raw)


_BESIDE = ("metrics", "trace", "performanceConfig", "serviceTier")
_COUNTED = {
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "cacheDetails",
}


def _counts(tokens: Tokens) -> dict[str, Any]:
    """A usage object. Tokens of other kinds than text are told among the others: this dialect knows no kinds."""
    written = tokens.cache_write + tokens.cache_write_1h
    out: dict[str, Any] = {
        "inputTokens": tokens.prompt - tokens.cache_read - written,
        "outputTokens": tokens.made,
        "totalTokens": tokens.prompt + tokens.made,
        "cacheReadInputTokens": tokens.cache_read,
        "cacheWriteInputTokens": written,
    }
    if written:
        parts = (("5m", tokens.cache_write), ("1h", tokens.cache_write_1h))
        out["cacheDetails"] = [{"ttl": ttl, "inputTokens": amount} for ttl, amount in parts if amount]
    return out


def metadata(tokens: Tokens | None, extras: dict[str, Any]) -> dict[str, Any]:
    """Usage, metrics and what else the provider said at the end; `extras` are those of the event or completion."""
    latency = extras.get("latency_ms", 0)
    out: dict[str, Any] = {"usage": _counts(tokens or Tokens()), "metrics": {"latencyMs": int(latency)}}
    for key, value in extras.get("bedrock.usage", {}).items():
        out[key] = {**out[key], **value} if key == "usage" else value
    return out
