"""Anthropic messages: writing a request, and the blocks it shares with answers."""

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
    Thinks,
    Tool,
    ToolResult,
    ToolUse,
)
from hapenny.protocols import fields as f

OWN = frozenset(("anthropic", "invoke"))
MAX_TOKENS = 4096
"""What is asked for where a request sets no limit: this protocol demands one."""

_EFFORTS = {"minimal": "low", "none": "low"}
_TIERS = {"auto": "auto", "default": "standard_only", "standard": "standard_only", "standard_only": "standard_only"}
_BARE = {"type", "text"}


def encode(request: Request) -> dict[str, Any]:
    """The fields of a messages body for `request`, without `model` and `stream`."""
    own = request.protocol in OWN
    p = request.parameters
    if p.n is not None and p.n > 1:
        f.wrong("n", "This model gives one answer at a time.", "send n = 1, or several requests")
    messages, hoisted = _messages(request, own)
    out: dict[str, Any] = {"max_tokens": MAX_TOKENS if p.max_tokens is None else p.max_tokens, "messages": messages}
    system = [_block(block, own, f"system[{i}]") for i, block in enumerate(request.system)] + hoisted
    if system:
        out["system"] = system[0]["text"] if len(system) == 1 and system[0].keys() == _BARE else system
    if request.tools:
        out["tools"] = [_tool(tool, own) for tool in request.tools]
        if (choice := request.tool_choice) is not None:
            out["tool_choice"] = {"type": choice.kind}
            if choice.kind == "tool":
                out["tool_choice"]["name"] = choice.name
            if choice.parallel is not None and choice.kind != "none":
                out["tool_choice"]["disable_parallel_tool_use"] = not choice.parallel
            if own:
                out["tool_choice"].update(choice.extras)
    if p.temperature is not None:
        out["temperature"] = p.temperature if own else min(p.temperature, 1.0)
    if p.top_p is not None:
        out["top_p"] = p.top_p
    if p.top_k is not None:
        out["top_k"] = p.top_k
    if p.stop:
        out["stop_sequences"] = p.stop
    if p.thinking is not None:
        out["thinking"] = thinking(p.thinking)
    if (config := _output(request, own)) is not None:
        out["output_config"] = config
    tier = p.service_tier if request.protocol == "anthropic" else _TIERS.get(p.service_tier or "")
    if tier is not None:
        out["service_tier"] = tier
    if request.checkpoint:
        f.put_point(out, request.checkpoint, _held(request.extras) if own else {})
    if request.user is not None or (own and request.metadata):
        out["metadata"] = dict(request.metadata) if own else {}
        if request.user is not None:
            out["metadata"]["user_id"] = request.user
    if own:
        for key, value in request.extras.items():
            if key == "output_config":
                out[key] = {**value, **out.get(key, {})}
            elif not key.startswith("x-") and key != "cache_control":
                out[key] = value
    return out


def _held(extras: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in extras.items() if key == "cache_control"}


def unsaid(request: Request) -> list[str]:
    """The parameters that have no word here."""
    p = request.parameters
    names = [
        name
        for name in ("seed", "presence_penalty", "frequency_penalty", "verbosity", "latency")
        if getattr(p, name) is not None
    ]
    if request.protocol != "anthropic" and p.service_tier is not None and p.service_tier not in _TIERS:
        names.append("service_tier")
    if request.protocol not in OWN and request.metadata:
        names.append("metadata")
    return names


def thinking(asked: Thinks) -> dict[str, Any]:
    """A `thinking` object."""
    out: dict[str, Any] = {"type": asked.kind}
    if asked.budget is not None:
        out["budget_tokens"] = asked.budget
    return {**out, **asked.extras}


def _output(request: Request, own: bool) -> dict[str, Any] | None:
    p = request.parameters
    out: dict[str, Any] = {}
    if p.effort is not None and p.effort != "none":
        out["effort"] = p.effort if own else _EFFORTS.get(p.effort, p.effort)
    if p.format is not None and p.format["type"] != "text":
        if p.format["type"] != "json_schema":
            f.wrong("response_format", "This model knows no JSON mode without a schema.", "send a json_schema")
        schema = p.format["json_schema"].get("schema")
        out["format"] = {"type": "json_schema", "schema": schema if schema is not None else {"type": "object"}}
    return out or None


def _messages(request: Request, own: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    out: list[dict[str, Any]] = []
    hoisted: list[dict[str, Any]] = []
    last = ""
    for i, message in enumerate(request.messages):
        role = "user" if message.role == "tool" else message.role
        if role == "system" and not own:
            # Only newer models take instructions in mid-conversation: they join the others at the top.
            hoisted += [_block(block, own, f"messages[{i}]") for block in message.content]
            continue
        content = _turn(message, own, f"messages[{i}]")
        if not own:
            if not content:
                continue
            if role == last:
                before = out[-1]
                if type(before["content"]) is str:
                    before["content"] = [{"type": "text", "text": before["content"]}]
                before["content"] += [{"type": "text", "text": content}] if type(content) is str else content
                continue
        last = role
        turn = {"role": role, "content": content}
        out.append({**turn, **message.extras} if own and message.extras else turn)
    if not out:
        f.wrong("messages", "No message is left for this model.", "send a user message")
    return out, hoisted


def _turn(message: Message, own: bool, path: str) -> Any:
    content = message.content
    if (
        len(content) == 1
        and type(only := content[0]) is Text
        and not (only.checkpoint or only.citations or only.extras)
    ):
        return only.text
    blocks = []
    for block in content:
        if not own and ((type(block) is Text and not block.text) or _foreign(block)):
            continue
        blocks.append(_block(block, own, path))
    return blocks


def _foreign(block: Block) -> bool:
    """Reasoning without a signature comes from another model and is dropped whole."""
    return isinstance(block, Thinking) and block.signature is None and block.redacted is None


def _block(block: Block, own: bool, path: str) -> dict[str, Any]:
    out: dict[str, Any]
    match block:
        case Text():
            out = {"type": "text", "text": block.text}
            if own and block.citations:
                out["citations"] = block.citations
        case ToolUse():
            arguments = f.raw_arguments(block.arguments, path)
            out = {"type": "tool_use", "id": block.id, "name": block.name, "input": arguments}
        case ToolResult():
            out = {"type": "tool_result", "tool_use_id": block.id}
            if block.content:
                content = [_block(inner, own, path) for inner in block.content]
                out["content"] = content[0]["text"] if len(content) == 1 and _simple(content[0]) else content
            if block.error:
                out["is_error"] = True
        case Thinking():
            if block.redacted is not None:
                out = {"type": "redacted_thinking", "data": block.redacted}
            else:
                out = {"type": "thinking", "thinking": block.text, "signature": block.signature or ""}
            return {**out, **block.extras} if own else out
        case Image():
            if block.data is not None:
                source = {"type": "base64", "media_type": block.media_type, "data": f.base64(block.data)}
            else:
                source = {"type": "url", "url": _followed(block.url, path)}
            out = {"type": "image", "source": source}
        case Document():
            out = _document(block, own, path)
        case Data():
            out = {"type": "text", "text": f.encode(block.value).decode()}
        case Opaque():
            if block.protocol not in OWN:
                f.wrong(path, "A content block exists only in another protocol.", "leave it out for this model")
            out = dict(block.payload)
    if block.checkpoint or block.extras:
        f.put_point(out, block.checkpoint, block.extras if own else {})
    return out


def _simple(content: dict[str, Any]) -> bool:
    return content["type"] == "text" and len(content) == 2


def _followed(url: str | None, path: str) -> str:
    if url is None or not url.startswith(("http:", "https:")):
        f.wrong(path, "Content is given by a reference this protocol cannot follow.", "send its bytes")
    return url


def _document(block: Document, own: bool, path: str) -> dict[str, Any]:
    source: dict[str, Any]
    if block.data is not None:
        if block.media_type == "application/pdf":
            source = {"type": "base64", "media_type": block.media_type, "data": f.base64(block.data)}
        elif block.media_type.startswith("text/"):
            text = block.data.decode("utf-8", "replace")
            source = {"type": "text", "media_type": "text/plain", "data": text}
        else:
            f.wrong(path, f"A document of type {block.media_type} cannot be sent.", "send PDF or plain text")
    elif block.text is not None:
        media = block.media_type if own and block.media_type else "text/plain"
        source = {"type": "text", "media_type": media, "data": block.text}
    elif block.content is not None:
        source = {"type": "content", "content": block.content}
    else:
        source = {"type": "url", "url": _followed(block.url, path)}
    out: dict[str, Any] = {"type": "document", "source": source}
    if block.name is not None:
        out["title"] = block.name
    if block.context is not None:
        out["context"] = block.context
    if block.citations is not None:
        out["citations"] = {"enabled": block.citations}
    return out


def _tool(tool: Tool, own: bool) -> dict[str, Any]:
    out: dict[str, Any]
    if tool.kind:
        if not own:
            called = tool.name or tool.kind
            f.wrong("tools", f"The tool {called} exists only in another protocol.", "leave it out for this model")
        out = {"type": tool.kind, "name": tool.name} if tool.name else {"type": tool.kind}
    else:
        schema = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
        out = {"name": tool.name, "input_schema": schema}
        if tool.description is not None:
            out["description"] = tool.description
        if tool.strict is not None:
            out["strict"] = tool.strict
    f.put_point(out, tool.checkpoint, tool.extras if own else {})
    return out
