"""Anthropic messages: the whole answer, both ways."""

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
)
from hapenny.core.messages import Block, Opaque, Request, Text, Thinking, ToolUse
from hapenny.protocols import citations
from hapenny.protocols import fields as f
from hapenny.protocols.anthropic import errors, usage
from hapenny.protocols.anthropic.compose import OWN
from hapenny.protocols.stops import ANTHROPIC, FROM_ANTHROPIC, reason_for, word_for

_TOP = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}


def decode(body: bytes, model: str, id_: str, created: float) -> list[Event]:
    """The events of a message."""
    data = f.load_upstream(body)
    if data.get("type") == "error":
        raise errors.decode(200, {}, body)
    content = data.get("content")
    if type(content) is not list:
        raise Failure("upstream", "The provider's answer has no content.")
    events: list[Event] = [started(data, model, id_, created)]
    for index, block in enumerate(content):
        if type(block) is not dict:
            raise Failure("upstream", "The provider's answer has a block that is no object.")
        _block(block, index, events)
    counts = data.get("usage")
    word = data.get("stop_reason")
    if word is not None:
        called = any(type(event) is BlockStarted and event.kind == "tool_use" for event in events)
        events.append(stopped(f.text(word), data.get("stop_sequence"), {}, called))
    if type(counts) is dict:
        events.append(usage.counted(counts))
    return events


def stopped(word: str, sequence: Any, extras: dict[str, Any], called: bool) -> Stopped:
    """The event that a stop reason makes."""
    reason, kept = reason_for(word, FROM_ANTHROPIC, called=called)
    if kept is not None:
        extras = {**extras, WORD: kept}
    return Stopped(reason, 0, f.text(sequence) or None, extras)


WORD = "anthropic.word"
"""The key under which a choice's extras hold (our reason, the wire's word), where the word alone does not say it."""
FRAME = "anthropic.frame"
"""The key for what stands beside the delta of `message_delta`."""


def started(message: dict[str, Any], model: str, id_: str, created: float) -> Started:
    """The event that a message (or its beginning) makes."""
    extras = f.bound_upstream({key: value for key, value in message.items() if key not in _TOP and value is not None})
    counts = message.get("usage")
    return Started(
        f.text(message.get("id")) or id_,
        f.text(message.get("model")) or model,
        created,
        usage.decode(counts) if type(counts) is dict else None,
        {"anthropic": extras} if extras else {},
    )


def opening(block: dict[str, Any], index: int) -> BlockStarted:
    """The event with which `block` begins."""
    kind = block.get("type")
    known = _BLOCKS.get(kind) if type(kind) is str else None
    if known is None:
        return BlockStarted(index, "other", payload=Opaque("anthropic", f.bound_upstream(block)))
    payload = None
    if not block.keys() <= known:
        extras = {key: value for key, value in block.items() if key not in known and value is not None}
        payload = {"anthropic": f.bound_upstream(extras)} if extras else None
    if kind == "tool_use":
        return BlockStarted(index, "tool_use", 0, f.text(block.get("id")), f.text(block.get("name")), payload)
    return BlockStarted(index, "text" if kind == "text" else "thinking", payload=payload)


_BLOCKS: dict[str, set[str]] = {
    "text": {"type", "text", "citations"},
    "tool_use": {"type", "id", "name", "input"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
}
"""The blocks that have events of their own, and what these say."""


def _block(block: dict[str, Any], index: int, events: list[Event]) -> None:
    kind = block.get("type")
    events.append(opening(block, index))
    if kind == "text":
        if piece := f.text(block.get("text")):
            events.append(TextDelta(piece, index))
        notes = block.get("citations")
        if type(notes) is list:
            events.extend(CitationDelta(note, index) for note in notes)
    elif kind == "tool_use":
        events.append(ToolCallDelta(f.arguments_of(block.get("input", {})), index))
    elif kind == "thinking":
        events.append(ThinkingDelta(f.text(block.get("thinking")), index))
        if signature := f.text(block.get("signature")):
            events.append(SignatureDelta(signature, index))
    elif kind == "redacted_thinking":
        events.append(ThinkingDelta("", index, redacted=f.text(block.get("data"))))
    events.append(BlockStopped(index))


def encode(completion: Completion, request: Request) -> bytes:
    """The message for `completion`: its first choice."""
    choice = completion.choices[0] if completion.choices else None
    out: dict[str, Any] = {
        "id": completion.id,
        "type": "message",
        "role": "assistant",
        "model": completion.model or request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    if choice is not None:
        for block in choice.content:
            if (written := _written(block)) is not None:
                out["content"].append(written)
        if choice.reason is None:  # a server that gave none: the answer is whole all the same
            called = any(isinstance(block, ToolUse) for block in choice.content)
            out["stop_reason"] = "tool_use" if called else "end_turn"
        else:
            out["stop_reason"] = word_for(choice.reason, ANTHROPIC, choice.extras.get(WORD))
            if choice.reason == "stop_sequence":
                out["stop_sequence"] = choice.sequence
        out.update(choice.extras.get("anthropic", {}))
        out.update(choice.extras.get(FRAME, {}))
    if completion.tokens is not None:
        out["usage"] = usage.encode(completion.tokens, completion.extras.get("anthropic.usage"))
    else:
        out["usage"] = {"input_tokens": 0, "output_tokens": 0}
    out.update(completion.extras.get("anthropic", {}))
    return f.encode(out)


def _written(block: Block) -> dict[str, Any] | None:
    match block:
        case Text():
            notes = citations.written("anthropic", block.citations, 0, len(block.text))
            if not block.text and not notes:
                return None
            out: dict[str, Any] = {"type": "text", "text": block.text}
            if notes:
                out["citations"] = notes
        case ToolUse():
            out = {"type": "tool_use", "id": block.id, "name": block.name, "input": arguments(block.arguments)}
        case Thinking():
            if block.redacted is not None:
                out = {"type": "redacted_thinking", "data": block.redacted}
            else:
                out = {"type": "thinking", "thinking": block.text, "signature": block.signature or ""}
        case Opaque() if block.protocol in OWN:
            return block.payload  # type: ignore[no-any-return]
        case _:
            return None
    own = block.extras.get("anthropic")
    return {**out, **own} if own else out


def arguments(written: str) -> Any:
    """The input object of a tool call; text that is none stands under `invalid_arguments`, so that nothing is lost."""
    try:
        return f.raw_arguments(written, "content")
    except Failure:
        return {"invalid_arguments": written}
