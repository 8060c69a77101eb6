"""OpenAI chat completions: the whole answer, both ways."""

from __future__ import annotations

from typing import Any

from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    Choice,
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
from hapenny.core.messages import Request
from hapenny.protocols import fields as f
from hapenny.protocols.openai import errors, usage
from hapenny.protocols.openai.calls import Calls, call_extras, entry_of
from hapenny.protocols.openai.pieces import (
    WORD,
    Piece,
    flattened,
    kept,
    left_over,
    matched,
    pieces_of,
    stem_of,
    text_of,
)
from hapenny.protocols.openai.written import asked_by_functions, message_of
from hapenny.protocols.stops import OPENAI, openai_stop, openai_word, told

_TOP = {"id", "object", "created", "model", "choices", "usage"}
_CHOICE = {"index", "message", "finish_reason"}


def decode(body: bytes, model: str, id_: str, created: float) -> list[Event]:
    """The events of a chat completion."""
    data = f.load_upstream(body)
    if data.get("error") or data.get("object") == "error":
        raise errors.decode(200, {}, body)
    choices = data.get("choices")
    if type(choices) is not list or not choices:
        raise Failure("upstream", "The provider's answer has no choices.")
    extras = {key: value for key, value in data.items() if key not in _TOP and value is not None}
    given = data.get("created")
    id_ = text_of(data.get("id")) or id_
    events: list[Event] = [
        Started(
            id_,
            text_of(data.get("model")) or model,
            given if type(given) is int or type(given) is float else created,
            extras={"openai": extras} if extras else {},
        )
    ]
    stem = stem_of(id_, given or created)
    for position, choice in enumerate(choices):
        if type(choice) is not dict or type(message := choice.get("message")) is not dict:
            raise Failure("upstream", "The provider's answer has a choice without a message.")
        index = choice.get("index")
        index = int(index) if type(index) is str and index.isdecimal() and len(index) < 5 else index
        index = index if type(index) is int and 0 <= index < 1024 else position
        _choice(choice, message, index, f"{stem}_{index}" if index else stem, events)
    counts = data.get("usage")
    if type(counts) is dict:
        events.append(usage.counted(counts))
    return events


def _choice(choice: dict[str, Any], message: dict[str, Any], index: int, stem: str, events: list[Event]) -> None:
    """Appends the events of one choice."""
    calls = Calls(stem)
    block, text = 0, -1
    refused = False
    flattened(message)
    for piece in pieces_of(message):
        refused |= piece.form == "refusal"
        if piece.kind == "signature":
            events.insert(len(events) - 1, SignatureDelta(piece.text, block - 1, index))
            continue
        if piece.kind == "note":
            if text != block - 1 or text < 0:
                _block(Piece("text"), calls, block, index, events)
                text, block = block, block + 1
            events.insert(len(events) - 1, CitationDelta(kept(piece.value), text, index))
            continue
        _block(piece, calls, block, index, events)
        if piece.kind == "text":
            text = block
        block += 1
    own = {key: value for key, value in choice.items() if key not in _CHOICE and value is not None}
    if rest := left_over(message):
        own["message"] = rest
    if type(choice.get("error")) is dict:
        raise errors.within(choice["error"])
    if (given := choice.get("finish_reason")) is not None:
        word, sequence = told(text_of(given) or "stop", choice.get("native_finish_reason")), matched(own)
        reason, usual = openai_stop(word, called=calls.count > 0, refused=refused, matched=sequence is not None)
        extras: dict[str, Any] = {"openai": own} if own else {}
        if OPENAI[reason] != word and (usual or word in OPENAI.values()):
            extras[WORD] = (reason, word)
        events.append(Stopped(reason, index, sequence, extras))
    elif not block:
        raise Failure("upstream", "The provider's answer says nothing, and has no finish reason.")


def _block(piece: Piece, calls: Calls, block: int, index: int, events: list[Event]) -> None:
    """Appends one whole block."""
    if piece.kind == "call":
        entry = entry_of(piece.value)
        call, _, arguments, _ = calls.take(entry, piece.form, whole=True)
        if call.payload is not None:
            events.append(BlockStarted(block, "other", index, payload=call.payload))
        else:
            extras = call_extras(entry, piece.form)
            events.append(BlockStarted(block, "tool_use", index, call.id, call.name, extras or None))
            events.append(ToolCallDelta(arguments.strip() and arguments, block, index))
        events.append(BlockStopped(block, index))
        return
    if piece.kind == "part":
        events.append(BlockStarted(block, "other", index, payload=piece.opaque()))
        events.append(BlockStopped(block, index))
        return
    owned = piece.owned()
    if piece.kind == "text":
        events.append(BlockStarted(block, "text", index, payload=owned))
        events.append(TextDelta(piece.text, block, index))
    elif piece.kind == "redacted":
        events.append(BlockStarted(block, "thinking", index, payload=owned))
        events.append(ThinkingDelta("", block, index, piece.text))
    else:
        events.append(BlockStarted(block, "thinking", index, payload=owned))
        events.append(ThinkingDelta(piece.text, block, index))
    events.append(BlockStopped(block, index))


def encode(completion: Completion, request: Request) -> bytes:
    """The chat completion for `completion`."""
    out: dict[str, Any] = {
        "id": completion.id,
        "object": "chat.completion",
        "created": int(completion.created),
        "model": completion.model or request.model,
        "choices": [_written(choice, index, request) for index, choice in enumerate(completion.choices)],
    }
    if completion.tokens is not None:
        out["usage"] = usage.encode(completion.tokens, completion.extras.get("openai.usage"))
    out.update(completion.extras.get("openai", {}))
    return f.encode(out)


def _written(choice: Choice, index: int, request: Request) -> dict[str, Any]:
    functions = asked_by_functions(request)
    message = message_of(choice.content, functions=functions)
    word = None
    if choice.reason is not None:
        word = openai_word(choice.reason, choice.extras.get(WORD), request.tool_choice, functions=functions)
    entry = {
        "index": index,
        "message": message,
        "logprobs": None,
        "finish_reason": word,
    }
    if own := choice.extras.get("openai"):
        own = dict(own)
        for key, value in own.pop("message", {}).items():
            known = message.get(key)
            message[key] = known + value if type(known) is list and type(value) is list else value
        entry.update(own)
    return entry
