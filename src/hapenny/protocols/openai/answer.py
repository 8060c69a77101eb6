"""OpenAI chat completions: the whole answer, both ways."""

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
from hapenny.core.messages import Opaque, Request, Text, Thinking, ToolUse
from hapenny.protocols import fields as f
from hapenny.protocols.openai import errors, usage
from hapenny.protocols.openai.compose import thoughts_out
from hapenny.protocols.stops import FROM_OPENAI, OPENAI

_TOP = {"id", "object", "created", "model", "choices", "usage"}


def decode(body: bytes, model: str, id_: str, created: float) -> list[Event]:
    """The events of a chat completion."""
    data = f.load_upstream(body)
    if data.get("error"):
        raise errors.decode(200, {}, body)
    choices = data.get("choices")
    if type(choices) is not list:
        raise Failure("upstream", "The provider's answer has no choices.")
    extras = {key: value for key, value in data.items() if key not in _TOP and value is not None}
    given = data.get("created")
    events: list[Event] = [
        Started(
            _str(data.get("id")) or id_,
            _str(data.get("model")) or model,
            given if type(given) is int or type(given) is float else created,
            extras={"openai": extras} if extras else {},
        )
    ]
    for position, choice in enumerate(choices):
        if type(choice) is not dict or type(message := choice.get("message")) is not dict:
            raise Failure("upstream", "The provider's answer has a choice without a message.")
        index = choice.get("index")
        _choice(choice, message, index if type(index) is int and 0 <= index < 1024 else position, events)
    counts = data.get("usage")
    if type(counts) is dict:
        left = usage.rest(counts)
        events.append(Usage(usage.decode(counts), {"openai.usage": left} if left else {}))
    return events


def _choice(choice: dict[str, Any], message: dict[str, Any], index: int, events: list[Event]) -> None:
    block = 0
    for thought in _thoughts(message):
        events.append(BlockStarted(block, "thinking", index))
        events.append(ThinkingDelta(thought.text, block, index, thought.redacted))
        if thought.signature is not None:
            events.append(SignatureDelta(thought.signature, block, index))
        events.append(BlockStopped(block, index))
        block += 1
    content = message.get("content")
    notes = message.get("annotations")
    if (type(content) is str and content) or notes:
        events.append(BlockStarted(block, "text", index))
        events.append(TextDelta(_str(content), block, index))
        if type(notes) is list:
            events.extend(CitationDelta(note, block, index) for note in notes)
        events.append(BlockStopped(block, index))
        block += 1
    calls = message.get("tool_calls")
    for call in calls if type(calls) is list else ():
        if type(call) is not dict:
            raise Failure("upstream", "The provider's answer has a tool call that is no object.")
        function = call.get("function")
        if type(function) is dict:
            id_ = _str(call.get("id")) or f"call_{index}_{block}"
            events.append(BlockStarted(block, "tool_use", index, id_, _str(function.get("name"))))
            events.append(ToolCallDelta(_str(function.get("arguments")), block, index))
        else:
            events.append(BlockStarted(block, "other", index, payload=Opaque("openai", call)))
        events.append(BlockStopped(block, index))
        block += 1
    extras = {k: v for k, v in choice.items() if k not in ("index", "message", "finish_reason") and v is not None}
    rest = {k: v for k, v in message.items() if k not in _MESSAGE and v is not None}
    if rest:
        extras["message"] = rest
    word = choice.get("finish_reason")
    if word is not None:
        events.append(
            Stopped(FROM_OPENAI.get(_str(word), "end_turn"), index, extras={"openai": extras} if extras else {})
        )


_MESSAGE = {"role", "content", "tool_calls", "annotations", "reasoning_content", "reasoning", "thinking_blocks"}


def _thoughts(message: dict[str, Any]) -> list[Thinking]:
    signed = message.get("thinking_blocks")
    if type(signed) is list:
        return [
            Thinking(redacted=_str(block.get("data")))
            if block.get("type") == "redacted_thinking"
            else Thinking(_str(block.get("thinking")), block.get("signature") and _str(block["signature"]))
            for block in signed
            if type(block) is dict
        ]
    text = message.get("reasoning_content") or message.get("reasoning")
    return [Thinking(text)] if type(text) is str else []


def _str(value: Any) -> str:
    return value if type(value) is str else ""


def encode(completion: Completion, request: Request) -> bytes:
    """The chat completion for `completion`."""
    out: dict[str, Any] = {
        "id": completion.id,
        "object": "chat.completion",
        "created": int(completion.created),
        "model": completion.model or request.model,
        "choices": [],
    }
    for index, choice in enumerate(completion.choices):
        text: list[str] = []
        notes: list[Any] = []
        calls: list[Any] = []
        thoughts: list[Thinking] = []
        for block in choice.content:
            if isinstance(block, Text):
                text.append(block.text)
                notes.extend(note for note in block.citations if type(note) is dict and note.get("type") in _NOTES)
            elif isinstance(block, ToolUse):
                function = {"name": block.name, "arguments": block.arguments or "{}"}
                calls.append({"id": block.id, "type": "function", "function": function})
            elif isinstance(block, Thinking):
                thoughts.append(block)
            elif isinstance(block, Opaque) and block.protocol == "openai":
                calls.append(block.payload)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(text) if text or not calls else None,
            "refusal": None,
        }
        if calls:
            message["tool_calls"] = calls
        if notes:
            message["annotations"] = notes
        if thoughts:
            message.update(thoughts_out(thoughts))
        entry = {
            "index": index,
            "message": message,
            "logprobs": None,
            "finish_reason": OPENAI[choice.reason] if choice.reason is not None else None,
        }
        if own := choice.extras.get("openai"):
            own = dict(own)
            message.update(own.pop("message", {}))
            entry.update(own)
        out["choices"].append(entry)
    if completion.tokens is not None:
        out["usage"] = usage.encode(completion.tokens, completion.extras.get("openai.usage"))
    out.update(completion.extras.get("openai", {}))
    return f.encode(out)


_NOTES = ("url_citation", "file_citation", "file_path", "container_file_citation")
