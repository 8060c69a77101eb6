"""What OpenAI's answers are written with, whole and streamed: the message of a choice."""

from __future__ import annotations

from typing import Any

from hapenny.core.messages import Block, Opaque, Request, Text, Thinking, ToolUse
from hapenny.protocols import citations
from hapenny.protocols.openai.compose import signed_out
from hapenny.protocols.openai.pieces import FORM


def asked_by_functions(request: Request) -> bool:
    """Whether the client asked with the older `functions`, and reads a call as `function_call`."""
    return "functions" in request.extras and not request.tools


def message_of(content: list[Block], *, functions: bool = False) -> dict[str, Any]:
    """The assistant's message. `functions`: the first call is told as `function_call`."""
    text: list[str] = []
    refusal: list[str] = []
    parts: list[Any] = []
    notes: list[Any] = []
    calls: list[Any] = []
    thoughts: list[Thinking] = []
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for block in content:
        form, own = block.extras.get(FORM, ""), block.extras.get("openai", {})
        if isinstance(block, Text):
            if form == "refusal":
                refusal.append(block.text)
                continue
            before = sum(map(len, text))
            notes += citations.written("openai", block.citations, before, before + len(block.text))
            text.append(block.text)
            parts.append({"type": "text", "text": block.text, **own} if form == "part" else block.text)
        elif isinstance(block, ToolUse):
            call = call_of(block.id, block.name, block.arguments if block.arguments.strip() else "{}", own)
            if form == "function_call" or (functions and "function_call" not in message):
                message["function_call"] = call["function"]
            else:
                calls.append(call)
        elif isinstance(block, Thinking):
            if form == "part":
                parts.append(thinking_part(block.text, own))
            elif form != "reasoning_details":  # they are kept whole beside the message
                thoughts.append(block)
        elif isinstance(block, Opaque) and block.protocol == "openai":
            (parts if form == "part" else calls).append(block.payload)
    if any(type(part) is dict for part in parts):
        message["content"] = [{"type": "text", "text": part} if type(part) is str else part for part in parts]
    elif text or not (calls or refusal or "function_call" in message):
        message["content"] = "".join(text)
    if refusal:
        message["refusal"] = "".join(refusal)
    if calls:
        message["tool_calls"] = calls
    if notes:
        message["annotations"] = notes
    message.update(thoughts_out(thoughts))
    return message


def call_of(id_: str, name: str, arguments: str, own: dict[str, Any]) -> dict[str, Any]:
    """An entry of `tool_calls`."""
    function = {"name": name, "arguments": arguments, **own.get("function", {})}
    return {"id": id_, "type": "function", **own, "function": function}


def thinking_part(text: str, own: dict[str, Any]) -> dict[str, Any]:
    """Reasoning as a part of the content (Mistral), in the pieces in which it came."""
    own = dict(own)
    pieces = own.pop("thinking", None) or [{"length": len(text)}]
    if sum(piece["length"] for piece in pieces) != len(text):
        pieces = [{"length": len(text)}]
    inner, place = [], 0
    for piece in pieces:
        rest = {key: value for key, value in piece.items() if key != "length"}
        inner.append({"type": "text", "text": text[place : place + piece["length"]], **rest})
        place += piece["length"]
    return {"type": "thinking", "thinking": inner, **own}


def thoughts_out(thoughts: list[Thinking]) -> dict[str, Any]:
    """The fields in which reasoning travels through an answer, by the names that the provider gave them."""
    out: dict[str, Any] = {}
    for block in thoughts:
        if block.text:
            name = block.extras.get(FORM) or "reasoning_content"
            out[name] = out.get(name, "") + block.text
    if signed := signed_out(thoughts, "openai"):
        out["thinking_blocks"] = signed
    return out
