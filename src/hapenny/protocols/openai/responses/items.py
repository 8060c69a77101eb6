"""OpenAI Responses: the items of a request's `input`, read into turns.

What only this dialect has of an item stands in the extras of its blocks under `ITEM`; items of kinds that no block of
ours can say (calls of hosted tools, references) are `Opaque`, and go to providers of the same dialect alone.
"""

from __future__ import annotations

from typing import Any

from hapenny.core.messages import (
    Block,
    Document,
    Image,
    Message,
    Opaque,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from hapenny.protocols import fields as f

ITEM = "item"
"""The key under which a block's extras hold the fields of the item that it came in."""
PLACE = "place"
"""The key under which an `Opaque` says that it is an item of its own, not a part of a message."""
SIGNED = "hapenny:"
"""What `encrypted_content` begins with where it holds the signature of a model that is not OpenAI's."""
REDACTED = "hapenny-redacted:"
"""Likewise, for reasoning that came encrypted."""
_OUTPUTS = ("_output", "_response", "_approval_response")


def turns(given: Any) -> tuple[tuple[Block, ...], tuple[Message, ...]]:
    """Leading instructions, and the turns behind them."""
    if type(given) is str:
        return (), (Message("user", (Text(given),)),)
    if type(given) is not list or not given:
        f.wrong("input", "input is missing, empty or neither text nor an array.", "send a string or at least one item")
    system: list[Block] = []
    messages: list[Message] = []
    said: list[Block] = []
    """What the assistant says, in items that follow each other."""
    for i, item in enumerate(given):
        path = f"input[{i}]"
        kind = f.mapping(item, path).get("type")
        kind = "message" if kind is None and "role" in item else f.string(kind, f"{path}.type")
        role = item.get("role") if kind == "message" else None
        if role == "assistant":
            said += _spoken(item, path)
            continue
        if kind in _SAID:
            said.append(_SAID[kind](item, path))
            continue
        if kind not in ("message", "function_call_output") and not kind.endswith(_OUTPUTS):
            said.append(Opaque("responses", item, extras={PLACE: ITEM}))
            continue
        if said:
            messages.append(Message("assistant", tuple(said)))
            said = []
        if kind == "function_call_output":
            messages.append(Message("tool", (_result(item, path),)))
        elif kind != "message":
            messages.append(Message("user", (Opaque("responses", item, extras={PLACE: ITEM}),)))
        elif role == "user":
            content, extras = _content(item, path)
            messages.append(Message("user", content, None, extras))
        elif role == "system" or role == "developer":
            content, extras = _content(item, path)
            if messages:
                messages.append(Message("system", content, None, extras | {"role": role}))
            else:
                system += [_marked(block, role, extras, path) for block in content]
        else:
            f.wrong(f"{path}.role", f"{path}.role is no role of this protocol.", "send user, assistant or developer")
    if said:
        messages.append(Message("assistant", tuple(said)))
    return tuple(system), tuple(messages)


def _content(item: dict[str, Any], path: str) -> tuple[tuple[Block, ...], dict[str, Any]]:
    """Blocks and further fields of a message that is not the assistant's."""
    content = parts(item.pop("content", None), f"{path}.content")
    rest = {key: value for key, value in item.items() if key not in ("type", "role") and value is not None}
    known = {key: rest.pop(key) for key in ("id", "status") if key in rest}
    return content, rest | {ITEM: known} if known else rest


def _marked(block: Block, role: str, extras: dict[str, Any], path: str) -> Block:
    if not isinstance(block, Text):
        f.wrong(path, f"{path} holds something that is not text.", "send system instructions as text")
    marks: dict[str, Any] = {"role": role}
    if extras:
        marks["message"] = extras
    return Text(block.text, block.checkpoint, (), block.extras | marks)


def _spoken(item: dict[str, Any], path: str) -> list[Block]:
    """A message of the assistant."""
    content = parts(item.pop("content", None), f"{path}.content")
    rest = {key: value for key, value in item.items() if key not in ("type", "role") and value is not None}
    if not rest:
        return list(content)
    out: list[Block] = []
    for block in content:
        extras = {**block.extras, ITEM: rest}
        if isinstance(block, Text):
            out.append(Text(block.text, block.checkpoint, block.citations, extras))
        elif isinstance(block, Opaque):
            out.append(Opaque("responses", block.payload, extras=extras))
        else:
            out.append(block)
    return out


def _called(item: dict[str, Any], path: str) -> Block:
    id_ = f.needed(item, "call_id", f"{path}.")
    name = f.needed(item, "name", f"{path}.")
    arguments = f.string(item.pop("arguments", "") or "", f"{path}.arguments")
    return ToolUse(id_, name, arguments, extras=_rest(item))


def _result(item: dict[str, Any], path: str) -> ToolResult:
    id_ = f.needed(item, "call_id", f"{path}.")
    output = item.pop("output", None)
    content = () if output is None else parts(output, f"{path}.output")
    return ToolResult(id_, content, extras=_rest(item))


def _rest(item: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in item.items() if key != "type" and value is not None}
    return {ITEM: rest} if rest else {}


def _thought(item: dict[str, Any], path: str) -> Block:
    """Reasoning. What OpenAI encrypted is kept whole, and means nothing to others."""
    encrypted = f.optional_string(item.get("encrypted_content"), f"{path}.encrypted_content")
    text = reasoning_text(item)
    signature = redacted = None
    if encrypted is not None and encrypted.startswith(REDACTED):
        redacted = encrypted.removeprefix(REDACTED)
    elif encrypted is not None and encrypted.startswith(SIGNED):
        signature = encrypted.removeprefix(SIGNED)
    return Thinking(text, signature, redacted, {ITEM: item})


def reasoning_text(item: dict[str, Any]) -> str:
    """The text of a reasoning item: its summary, else its content."""
    for key in ("summary", "content"):
        listed = item.get(key)
        if type(listed) is list and listed:
            texts = [part.get("text") for part in listed if type(part) is dict]
            return "\n\n".join(text for text in texts if type(text) is str)
    return ""


_SAID = {"function_call": _called, "reasoning": _thought}


def parts(content: Any, path: str) -> tuple[Block, ...]:
    """The blocks of a message's content, or of what a tool returned."""
    if type(content) is str:
        return (Text(content),)
    if type(content) is not list:
        f.wrong(path, f"{path} is neither text nor an array of parts.", "send a string or an array of content parts")
    return tuple(_part(part, f"{path}[{i}]") for i, part in enumerate(content))


def _part(part: Any, path: str) -> Block:
    kind = f.mapping(part, path).get("type")
    if kind in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
        text = f.string(part.get("text"), f"{path}.text")
        notes = part.get("annotations")
        rest = {key: value for key, value in part.items() if key not in _OF_TEXT and value is not None}
        if part.get("logprobs"):
            rest["logprobs"] = part["logprobs"]
        return Text(text, "", tuple(map(nested, notes)) if type(notes) is list else (), rest)
    if kind == "refusal":
        rest = {key: value for key, value in part.items() if key != "refusal" and value is not None}
        return Text(f.string(part.get("refusal"), f"{path}.refusal"), extras=rest)
    if kind == "input_image" and type(part.get("image_url")) is str:
        return _image(part, path)
    if kind == "input_file" and ("file_data" in part or "file_url" in part) and part.get("file_id") is None:
        return _file(part, path)
    f.string(kind, f"{path}.type")
    return Opaque("responses", part)


_OF_TEXT = frozenset(("type", "text", "annotations", "logprobs"))


def _image(part: dict[str, Any], path: str) -> Image:
    url = f.needed(part, "image_url", f"{path}.")
    detail = f.optional_string(part.pop("detail", None), f"{path}.detail")
    rest = {key: value for key, value in part.items() if key != "type" and value is not None}
    if url.startswith("data:"):
        media, data = f.data_url(url, f"{path}.image_url")
        return Image(media, data, None, detail, extras=rest)
    return Image("", None, url, detail, extras=rest)


def _file(part: dict[str, Any], path: str) -> Document:
    name = f.optional_string(part.pop("filename", None), f"{path}.filename")
    given = part.pop("file_data", None)
    url = f.optional_string(part.pop("file_url", None), f"{path}.file_url") if given is None else None
    rest = {key: value for key, value in part.items() if key != "type" and value is not None}
    if given is None:
        if not url:
            f.wrong(path, f"{path} holds no file.", "send file_data, file_url or file_id")
        return Document(url=url, name=name, extras=rest)
    text = f.string(given, f"{path}.file_data")
    if text.startswith("data:"):
        media, data = f.data_url(text, f"{path}.file_data")
    else:
        media, data = "application/pdf", f.blob(text, f"{path}.file_data")
    return Document(media, data, name=name, extras=rest)


def nested(note: Any) -> Any:
    """An annotation as chat completions write it: its fields one level down."""
    if type(note) is not dict or type(kind := note.get("type")) is not str or type(note.get(kind)) is dict:
        return note
    return {"type": kind, kind: {key: value for key, value in note.items() if key != "type"}}


def flat(note: Any) -> Any:
    """An annotation as Responses write it."""
    if type(note) is dict and type(kind := note.get("type")) is str and type(inner := note.get(kind)) is dict:
        return {"type": kind, **inner}
    return note
