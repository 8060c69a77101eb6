"""OpenAI Responses: writing a request, and what an answer echoes of one."""

from __future__ import annotations

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
from hapenny.protocols.openai.responses.items import ITEM, PLACE, flat

_KINDS = {"any": "required"}
_GROUPS = ("reasoning", "text")


def encode(request: Request, model: str) -> bytes:
    """The Responses body for `request`."""
    own = request.protocol == "responses"
    p = request.parameters
    instructions, leading = _instructions(request.system, own)
    out: dict[str, Any] = {"model": model, "input": leading + _items(request.messages, own)}
    if instructions:
        out["instructions"] = instructions
    values = (
        ("max_output_tokens", p.max_tokens),
        ("temperature", p.temperature),
        ("top_p", p.top_p),
        ("service_tier", p.service_tier),
        ("store", request.store),
        ("metadata", request.metadata if own and request.metadata else None),
        ("reasoning", _reasoning(request)),
        ("text", _text(request)),
        ("tools", [tool_out(tool, own) for tool in request.tools] or None),
    )
    out.update((key, value) for key, value in values if value is not None)
    choice = request.tool_choice
    if choice is not None:
        if choice.parallel is not None:
            out["parallel_tool_calls"] = choice.parallel
        if choice.kind == "tool":
            out["tool_choice"] = {"type": "function", "name": choice.name, **(choice.extras if own else {})}
        elif request.tools:
            out["tool_choice"] = _KINDS.get(choice.kind, choice.kind)
    if own:
        out.update((key, value) for key, value in request.extras.items() if not key.startswith(_DOTTED))
    if request.user is not None and request.user != request.extras.get("safety_identifier"):
        out["user"] = request.user
    if request.stream:
        out["stream"] = True
    return f.encode(out)


_DOTTED = tuple(f"{group}." for group in _GROUPS)


def _grouped(request: Request, group: str, fields: dict[str, Any]) -> dict[str, Any] | None:
    out = {key: value for key, value in fields.items() if value is not None}
    if request.protocol == "responses":
        prefix = f"{group}."
        more = {key.removeprefix(prefix): value for key, value in request.extras.items() if key.startswith(prefix)}
        out.update(more)
    return out or None


def _reasoning(request: Request) -> dict[str, Any] | None:
    return _grouped(request, "reasoning", {"effort": request.parameters.effort})


def _text(request: Request) -> dict[str, Any] | None:
    p = request.parameters
    return _grouped(request, "text", {"format": _format(p.format), "verbosity": p.verbosity})


def _format(form: Any) -> Any:
    if type(form) is dict and type(inner := form.get("json_schema")) is dict:
        rest = {key: value for key, value in form.items() if key != "json_schema"}
        return {**rest, **inner}
    return form


def echo(request: Request) -> dict[str, Any]:
    """What an answer repeats of its request. Nothing is kept here: `store` is false."""
    p, choice = request.parameters, request.tool_choice
    own = request.protocol == "responses"
    extras = request.extras if own else {}
    return {
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": _instructions(request.system, own)[0],
        "max_output_tokens": p.max_tokens,
        "max_tool_calls": extras.get("max_tool_calls"),
        "metadata": request.metadata,
        "parallel_tool_calls": choice is None or choice.parallel is not False,
        "previous_response_id": None,
        "prompt_cache_key": extras.get("prompt_cache_key"),
        "reasoning": {"effort": None, "summary": None, **(_reasoning(request) or {})},
        "safety_identifier": extras.get("safety_identifier"),
        "service_tier": p.service_tier,
        "store": False,
        "temperature": 1.0 if p.temperature is None else p.temperature,
        "text": {"format": {"type": "text"}, **(_text(request) or {})},
        "tool_choice": _chosen(request),
        "tools": [tool_out(tool, own) for tool in request.tools if own or not tool.kind],
        "top_logprobs": extras.get("top_logprobs", 0),
        "top_p": 1.0 if p.top_p is None else p.top_p,
        "truncation": extras.get("truncation", "disabled"),
        "user": request.user,
    }


def _chosen(request: Request) -> Any:
    choice = request.tool_choice
    if "tool_choice" in request.extras:
        return request.extras["tool_choice"]
    if choice is None:
        return "auto"
    if choice.kind == "tool":
        return {"type": "function", "name": choice.name}
    return _KINDS.get(choice.kind, choice.kind)


def _instructions(system: tuple[Block, ...], own: bool) -> tuple[str | None, list[dict[str, Any]]]:
    """`instructions`, and leading items of the system or the developer."""
    texts: list[str] = []
    leading: list[dict[str, Any]] = []
    last: Any = None
    for i, block in enumerate(system):
        if not isinstance(block, Text):
            f.wrong(f"system[{i}]", "The system prompt holds something that is not text.", "send it as text")
        role = block.extras.get("role") if own else None
        if role is None:
            texts.append(block.text)
            continue
        marks = (role, block.extras.get("message"))
        more = {key: value for key, value in block.extras.items() if key not in ("role", "message")}
        part = {"type": "input_text", "text": block.text, **more}
        if marks == last:
            leading[-1]["content"].append(part)
        else:
            leading.append({"type": "message", "role": role, "content": [part], **_fields(marks[1] or {})})
            last = marks
    return "\n\n".join(texts) if texts else None, leading


def _fields(extras: dict[str, Any]) -> dict[str, Any]:
    """The further fields of an item, those under `ITEM` unwrapped."""
    rest = {key: value for key, value in extras.items() if key not in (ITEM, "role")}
    return {**extras.get(ITEM, {}), **rest}


def _items(messages: tuple[Message, ...], own: bool) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for i, message in enumerate(messages):
        path = f"input[{i}]"
        if message.role == "assistant":
            _said(message, own, path, out)
            continue
        role = message.role if message.role in ("user", "system") else "user"
        fields = message.extras if own else {}
        content: list[dict[str, Any]] = []
        for block in message.content:
            if isinstance(block, ToolResult):
                out.append(_result(block, own, path))
            elif isinstance(block, Opaque) and block.extras.get(PLACE) == ITEM:
                out.append(_opaque(block, path))
            elif not isinstance(block, Thinking):
                content.append(_part(block, "input_text", own, path))
        if content:
            item = {"type": "message", "role": fields.get("role", role), "content": content}
            out.append({**item, **_fields(fields)})
    return out


def _said(message: Message, own: bool, path: str, out: list[dict[str, Any]]) -> None:
    """Appends the items of an assistant's turn: texts of one item together."""
    last: Any = None
    for block in message.content:
        extras = block.extras if own else {}
        item = extras.get(ITEM)
        written: dict[str, Any]
        if isinstance(block, Text | Image | Document | Data) or (isinstance(block, Opaque) and PLACE not in extras):
            part = _part(block, "output_text", own, path)
            if last is not None and last[1] == item:
                last[0].append(part)
                continue
            last = ([part], item)
            out.append({"type": "message", "role": "assistant", "content": last[0], **(item or {})})
            continue
        if isinstance(block, ToolUse):
            call = {"type": "function_call", "call_id": block.id, "name": block.name, "arguments": block.arguments}
            written = {**call, **(item or {})}
        elif isinstance(block, Opaque):
            written = _opaque(block, path)
        elif isinstance(block, Thinking):
            if item is None or block.signature is not None or block.redacted is not None:
                continue  # another model's
            written = item
        else:
            f.wrong(path, "A content block stands where this protocol cannot say it.", "move or drop it")
        out.append(written)
        last = None


def _result(block: ToolResult, own: bool, path: str) -> dict[str, Any]:
    content = [_part(inner, "input_text", own, path) for inner in block.content]
    output: Any = content
    if not content:
        output = ""
    elif len(content) == 1 and content[0].keys() == {"type", "text"}:
        output = content[0]["text"]
    fields = block.extras.get(ITEM, {}) if own else {}
    return {"type": "function_call_output", "call_id": block.id, "output": output, **fields}


def _opaque(block: Opaque, path: str) -> dict[str, Any]:
    if block.protocol != "responses":
        f.wrong(path, "A content block exists only in another protocol.", "leave it out for this model")
    return dict(block.payload)


def _part(block: Block, text: str, own: bool, path: str) -> dict[str, Any]:
    out: dict[str, Any]
    match block:
        case Text():
            if own and block.extras.get("type") == "refusal":
                out = {"type": "refusal", "refusal": block.text}
            else:
                out = {"type": text, "text": block.text}
                if text == "output_text" or block.citations:
                    out["annotations"] = [flat(note) for note in block.citations] if own else []
        case Data():
            out = {"type": text, "text": f.encode(block.value).decode()}
        case Image():
            url = block.url if block.data is None else f"data:{block.media_type};base64,{f.base64(block.data)}"
            if url is None or not url.startswith(("data:", "http:", "https:")):
                f.wrong(path, "An image is given by a reference this protocol cannot follow.", "send its bytes")
            out = {"type": "input_image", "image_url": url}
            if block.detail is not None or not own:
                out["detail"] = block.detail or "auto"
        case Document():
            out = _document(block, path)
        case Opaque():
            return _opaque(block, path)
        case _:
            f.wrong(path, "A content block stands where this protocol cannot say it.", "move or drop it")
    if own:
        out.update((key, value) for key, value in block.extras.items() if key != ITEM)
    return out


def _document(block: Document, path: str) -> dict[str, Any]:
    if block.text is not None:
        title = f"{block.name}\n" if block.name else ""
        return {"type": "input_text", "text": title + block.text}
    out: dict[str, Any] = {"type": "input_file"}
    if block.data is not None:
        out["file_data"] = f"data:{block.media_type};base64,{f.base64(block.data)}"
        out["filename"] = block.name or "document"
    elif block.url is not None and block.url.startswith(("http:", "https:")):
        out["file_url"] = block.url
        if block.name:
            out["filename"] = block.name
    else:
        f.wrong(path, "A document is given by a reference this protocol cannot follow.", "send its bytes")
    return out


def tool_out(tool: Tool, own: bool) -> dict[str, Any]:
    """An entry of `tools`."""
    if tool.kind:
        if not own:
            f.wrong("tools", f"The tool {tool.name} exists only in another protocol.", "leave it out for this model")
        return tool.extras
    out: dict[str, Any] = {"type": "function", "name": tool.name, "parameters": tool.schema, "strict": tool.strict}
    if tool.description is not None:
        out["description"] = tool.description
    return {**out, **tool.extras} if own else out
