"""Bedrock Converse: the whole answer, both ways."""

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
    ToolCallDelta,
    Usage,
)
from hapenny.core.messages import Block, Opaque, Request, Text, Thinking, ToolUse
from hapenny.protocols import fields as f
from hapenny.protocols.anthropic.answer import arguments, text
from hapenny.protocols.bedrock import usage
from hapenny.protocols.stops import BEDROCK, FROM_BEDROCK


def decode(body: bytes, model: str, id_: str, created: float) -> list[Event]:
    """The events of a Converse answer. The wire names neither model nor id: they are the caller's."""
    data = f.load_upstream(body)
    output = data.get("output")
    message = output.get("message") if type(output) is dict else None
    content = message.get("content") if type(message) is dict else None
    if type(content) is not list:
        raise Failure("upstream", "The provider's answer has no content.")
    events: list[Event] = [Started(id_, _invoked(data) or model, created)]
    for index, block in enumerate(content):
        if type(block) is not dict:
            raise Failure("upstream", "The provider's answer has a block that is no object.")
        _block(block, index, events)
    if (word := data.get("stopReason")) is not None:
        events.append(stopped(word, data.get("additionalModelResponseFields")))
    if type(data.get("usage")) is dict:
        events.append(counted(data))
    return events


def _invoked(data: dict[str, Any]) -> str:
    """The model that a prompt router chose."""
    trace = data.get("trace")
    router = trace.get("promptRouter") if type(trace) is dict else None
    return text(router.get("invokedModelId")) if type(router) is dict else ""


def stopped(word: Any, more: Any) -> Stopped:
    """The event that a stop reason makes."""
    sequence = more.get("stop_sequence") if type(more) is dict else None
    extras = {"bedrock": {"additionalModelResponseFields": more}} if more is not None else {}
    return Stopped(FROM_BEDROCK.get(text(word), "end_turn"), 0, text(sequence) or None, extras)


_END = ("metrics", "trace", "performanceConfig", "serviceTier")


def counted(data: dict[str, Any], raw: bytes | None = None) -> Usage:
    """The event that usage and what stands beside it make."""
    extras = {key: data[key] for key in _END if data.get(key) is not None}
    return Usage(usage.decode(data["usage"]), {"bedrock.usage": extras} if extras else {}, raw)


def _block(block: dict[str, Any], index: int, events: list[Event]) -> None:
    kind, value = next(iter(block.items()), ("", None))
    if kind == "text":
        events.append(BlockStarted(index, "text"))
        events.append(TextDelta(text(value), index))
    elif kind == "toolUse" and type(value) is dict and "type" not in value:
        events.append(BlockStarted(index, "tool_use", 0, text(value.get("toolUseId")), text(value.get("name"))))
        events.append(ToolCallDelta(f.arguments_of(value.get("input", {})), index))
    elif kind == "reasoningContent" and type(value) is dict:
        events.append(BlockStarted(index, "thinking"))
        inner = value.get("reasoningText")
        if type(inner) is dict:
            events.append(ThinkingDelta(text(inner.get("text")), index))
            if signature := text(inner.get("signature")):
                events.append(SignatureDelta(signature, index))
        else:
            events.append(ThinkingDelta("", index, redacted=text(value.get("redactedContent"))))
    elif kind == "citationsContent" and type(value) is dict:
        events.append(BlockStarted(index, "text"))
        parts = value.get("content")
        parts = [part for part in parts if type(part) is dict] if type(parts) is list else []
        events.extend(TextDelta(text(part.get("text")), index) for part in parts)
        notes = value.get("citations")
        events.extend(CitationDelta(note, index) for note in (notes if type(notes) is list else ()))
    else:
        events.append(BlockStarted(index, "other", payload=Opaque("bedrock", block)))
    events.append(BlockStopped(index))


def encode(completion: Completion, request: Request) -> bytes:
    """The Converse answer for `completion`: its first choice."""
    choice = completion.choices[0] if completion.choices else None
    content: list[Any] = []
    out: dict[str, Any] = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn"}
    if choice is not None:
        content.extend(written for block in choice.content if (written := _written(block)) is not None)
        if choice.reason is not None:
            out["stopReason"] = BEDROCK[choice.reason]
        out.update(choice.extras.get("bedrock", {}))
    out.update(usage.metadata(completion.tokens, completion.extras))
    return f.encode(out)


def _written(block: Block) -> dict[str, Any] | None:
    match block:
        case Text():
            if notes := citations(block.citations):
                return {"citationsContent": {"content": [{"text": block.text}], "citations": notes}}
            return {"text": block.text}
        case ToolUse():
            return {"toolUse": {"toolUseId": block.id, "name": block.name, "input": arguments(block.arguments)}}
        case Thinking():
            if block.redacted is not None:
                return {"reasoningContent": {"redactedContent": block.redacted}}
            inner = {"text": block.text} | ({"signature": block.signature} if block.signature is not None else {})
            return {"reasoningContent": {"reasoningText": inner}}
        case Opaque() if block.protocol == "bedrock":
            return block.payload  # type: ignore[no-any-return]
        case _:
            return None


def citations(notes: tuple[Any, ...]) -> list[Any]:
    """Those of `notes` that are Converse's own."""
    return [note for note in notes if type(note) is dict and "type" not in note and note.keys() & _CITED]


_CITED = {"title", "source", "sourceContent", "location"}
