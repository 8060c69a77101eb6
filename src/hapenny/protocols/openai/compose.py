"""OpenAI chat completions: writing a request, and the fields in which reasoning travels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hapenny.core.messages import (
    Block,
    Data,
    Document,
    Image,
    Message,
    Opaque,
    Request,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
)
from hapenny.protocols import fields as f


def encode(request: Request, model: str) -> bytes:
    """The chat completions body for `request`."""
    own = request.protocol == "openai"
    p = request.parameters
    out: dict[str, Any] = {"model": model, "messages": _messages_out(request, own)}
    if p.max_tokens is not None:
        out["max_completion_tokens" if _modern(model) else "max_tokens"] = p.max_tokens
    values = (
        ("temperature", p.temperature),
        ("top_p", p.top_p),
        ("top_k", p.top_k),
        ("seed", p.seed),
        ("n", p.n),
        ("presence_penalty", p.presence_penalty),
        ("frequency_penalty", p.frequency_penalty),
        ("reasoning_effort", p.effort if own or p.effort != "max" else "xhigh"),
        ("verbosity", p.verbosity),
        ("response_format", p.format),
        ("service_tier", p.service_tier if own else _TIERS.get(p.service_tier or "")),
        ("store", request.store),
        ("user", request.user),
    )
    for key, value in values:
        if value is not None:
            out[key] = value  # noqa: PERF403  (a comprehension is a call)
    if p.stop:
        out["stop"] = p.stop
    if request.tools:
        out["tools"] = [_tool_out(tool, own) for tool in request.tools]
    choice = request.tool_choice
    if choice is not None:
        if choice.parallel is not None and request.tools:
            out["parallel_tool_calls"] = choice.parallel
        if choice.kind == "tool":
            more = choice.extras if own else {}
            function = {"name": choice.name, **more.get("function", {})}
            out["tool_choice"] = {"type": "function", **more, "function": function}
        elif request.tools:
            out["tool_choice"] = "required" if choice.kind == "any" else choice.kind
    if own:
        if request.metadata:
            out["metadata"] = request.metadata
        out.update(request.extras)
    if request.stream:
        out["stream"] = True
        out["stream_options"] = {**out.get("stream_options", {}), "include_usage": True}
    return f.encode(out)


_TIERS = {"priority": "priority", "flex": "flex", "default": "default", "standard_only": "default"}


@lru_cache(1_024)
def _modern(model: str) -> bool:
    """Whether `model` is one of OpenAI's reasoning models, which refuse the older `max_tokens`."""
    name = model.rpartition("/")[2]
    return (name[:1] == "o" and name[1:2].isdigit()) or (name.startswith("gpt-") and name[4:5] in set("56789"))


def _messages_out(request: Request, own: bool) -> list[dict[str, Any]]:
    out = _system_out(request.system, own)
    for i, message in enumerate(request.messages):
        content = message.content
        if (
            len(content) == 1
            and type(block := content[0]) is Text
            and not (block.extras or block.checkpoint or message.extras or message.name)
        ):
            out.append({"role": message.role, "content": block.text})
        elif message.role == "assistant":
            out.append(_assistant_out(message, own, f"messages[{i}]"))
        else:
            out.extend(_turn_out(message, own, f"messages[{i}]"))
    return out


def _system_out(system: tuple[Block, ...], own: bool) -> list[dict[str, Any]]:
    if len(system) == 1 and type(only := system[0]) is Text and not (only.extras or only.checkpoint):
        return [{"role": "system", "content": only.text}]
    out: list[dict[str, Any]] = []
    last: Any = None
    for i, block in enumerate(system):
        if not isinstance(block, Text):
            f.wrong(f"system[{i}]", "The system prompt holds something that is not text.", "send it as text")
        marks = (block.extras.get("role", "system"), block.extras.get("message")) if own else ("system", None)
        part: dict[str, Any] = {"type": "text", "text": block.text}
        if own:
            more = {key: value for key, value in block.extras.items() if key != "role" and key != "message"}
            f.put_point(part, block.checkpoint, more)
        if marks == last:
            out[-1]["content"].append(part)
        else:
            out.append({"role": marks[0], "content": [part], **(marks[1] or {})})
            last = marks
    for message in out:
        parts = message["content"]
        if len(parts) == 1 and len(parts[0]) == 2:
            message["content"] = parts[0]["text"]
    return out


def _assistant_out(message: Message, own: bool, path: str) -> dict[str, Any]:
    parts: list[Any] = []
    calls: list[Any] = []
    thoughts: list[Thinking] = []
    for block in message.content:
        if isinstance(block, ToolUse):
            call = {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": block.arguments}}
            if own and block.extras:
                extras = dict(block.extras)
                call["function"].update(extras.pop("function", {}))  # type: ignore[attr-defined]
                call.update(extras)
            calls.append(call)
        elif isinstance(block, Opaque) and own and "type" in block.payload and block.payload["type"] == "custom":
            calls.append(block.payload)
        elif isinstance(block, Thinking):
            thoughts.append(block)
        else:
            parts.append(_part_out(block, own, path))
    out: dict[str, Any] = {"role": "assistant", "content": _plain(parts) if parts else None}
    if not parts and not calls and not (own and ("function_call" in message.extras or message.extras.get("refusal"))):
        out["content"] = ""  # OpenAI takes none where something else is said
    if calls:
        out["tool_calls"] = calls
    if message.name:
        out["name"] = message.name
    if own:
        if thoughts:
            out.update(_thoughts_out(thoughts))
        out.update(message.extras)
    elif thoughts:  # those that the server wants back: the rules left out all others
        out["reasoning_content"] = "".join(block.text for block in thoughts)
    return out


def _thoughts_out(thoughts: list[Thinking]) -> dict[str, Any]:
    """The fields in which reasoning travels through an assistant's turn."""
    out: dict[str, Any] = {}
    if text := "".join(block.text for block in thoughts):
        out["reasoning_content"] = text
    if signed := signed_out(thoughts):
        out["thinking_blocks"] = signed
    return out


def signed_out(thoughts: list[Thinking], owner: str = "") -> list[dict[str, Any]]:
    """Reasoning as `thinking_blocks`, where it is signed, redacted or in several blocks; `owner`: whose the extras are,
    where they are kept by owner."""
    if len(thoughts) < 2 and all(block.signature is None and block.redacted is None for block in thoughts):
        return []
    out = []
    for block in thoughts:
        own = block.extras.get(owner, {}) if owner else block.extras
        if block.redacted is not None:
            out.append({"type": "redacted_thinking", "data": block.redacted, **own})
        else:
            out.append({"type": "thinking", "thinking": block.text, "signature": block.signature, **own})
    return out


def _plain(parts: list[Any]) -> Any:
    return parts[0]["text"] if len(parts) == 1 and len(parts[0]) == 2 and "text" in parts[0] else parts


def _turn_out(message: Message, own: bool, path: str) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    parts: list[Any] = []
    for block in message.content:
        if isinstance(block, ToolResult):
            content = [_result_part(inner, own, path) for inner in block.content]
            turn = {"role": "tool", "tool_call_id": block.id, "content": _plain(content) if content else ""}
            if own and message.extras.get("role") == "function":
                turn = {"name": turn.pop("tool_call_id"), **turn}
            if own:
                turn.update(message.extras)
            out.append(turn)
        elif isinstance(block, Thinking):
            continue
        else:
            parts.append(_part_out(block, own, path))
    if parts:
        turn = {"role": "system" if message.role == "system" else "user", "content": _plain(parts)}
        if message.name:
            turn["name"] = message.name
        if own:
            turn.update(message.extras)
        out.append(turn)
    return out


def _result_part(block: Block, own: bool, path: str) -> dict[str, Any]:
    if isinstance(block, Data):
        return {"type": "text", "text": f.encode(block.value).decode()}
    if isinstance(block, Text) or own:
        return _part_out(block, own, path)
    return f.wrong(path, "A tool result holds more than text, which this protocol cannot say.", "send it as text")


def _part_out(block: Block, own: bool, path: str) -> dict[str, Any]:
    out: dict[str, Any]
    match block:
        case Text():
            out = {"type": "text", "text": block.text}
        case Image():
            url = block.url if block.data is None else f"data:{block.media_type};base64,{f.base64(block.data)}"
            if url is None or not url.startswith(("data:", "http:", "https:")):
                f.wrong(path, "An image is given by a reference this protocol cannot follow.", "send its bytes")
            image = {"url": url} if block.detail is None else {"url": url, "detail": block.detail}
            out = {"type": "image_url", "image_url": image}
        case Document():
            if block.text is not None:
                title = f"{block.name}\n" if block.name else ""
                out = {"type": "text", "text": title + block.text}
            elif block.data is not None:
                data = f"data:{block.media_type};base64,{f.base64(block.data)}"
                out = {"type": "file", "file": {"filename": block.name or "document", "file_data": data}}
                if own and block.name is None:
                    del out["file"]["filename"]
            else:
                f.wrong(path, "A document is given by a reference this protocol cannot follow.", "send its bytes")
        case Opaque():
            if block.protocol != "openai":
                f.wrong(path, "A content block exists only in another protocol.", "leave it out for this model")
            return dict(block.payload)
        case _:
            f.wrong(path, "A content block stands where this protocol cannot say it.", "move or drop it")
    if own:
        extras = {
            key: {**out[key], **value} if type(value) is dict and type(out.get(key)) is dict else value
            for key, value in block.extras.items()
        }
        f.put_point(out, block.checkpoint, extras)
    return out


def _tool_out(tool: Tool, own: bool) -> dict[str, Any]:
    if tool.kind:
        if not own:
            called = tool.name or tool.kind
            f.wrong("tools", f"The tool {called} exists only in another protocol.", "leave it out for this model")
        return tool.extras
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    out: dict[str, Any] = {"type": "function", "function": function}
    if own:
        extras = dict(tool.extras)
        function.update(extras.pop("function", {}))
        f.put_point(out, tool.checkpoint, extras)
    return out
