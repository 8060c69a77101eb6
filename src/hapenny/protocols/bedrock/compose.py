"""Bedrock Converse: writing a request."""

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
from hapenny.protocols.anthropic.compose import thinking
from hapenny.protocols.bedrock.media import DOCUMENT_FORMATS, IMAGE_FORMATS, document_name
from hapenny.protocols.bedrock.request import BESIDE, POINT

_TIERS = {"priority": "priority", "flex": "flex", "default": "default", "standard": "default", "reserved": "reserved"}


def encode(request: Request, model: str) -> dict[str, Any]:
    """The Converse body for `request`."""
    own = request.protocol == "bedrock"
    p = request.parameters
    if p.n is not None and p.n > 1:
        f.wrong("n", "This model gives one answer at a time.", "send n = 1, or several requests")
    messages, hoisted = _messages(request, own)
    out: dict[str, Any] = {"messages": messages} if messages or not own else {}
    if system := _blocks(request.system, own, "system") + hoisted:
        out["system"] = system
    config: dict[str, Any] = {}
    if p.max_tokens is not None:
        config["maxTokens"] = p.max_tokens
    if p.temperature is not None:
        config["temperature"] = min(p.temperature, 1.0)
    if p.top_p is not None:
        config["topP"] = p.top_p
    if p.stop:
        config["stopSequences"] = p.stop
    if config:
        out["inferenceConfig"] = config
    if request.tools and not (request.tool_choice is not None and request.tool_choice.kind == "none"):
        out["toolConfig"] = _tools(request, own)
    if more := _additional(request, model):
        out["additionalModelRequestFields"] = more
    if p.latency is not None:
        out["performanceConfig"] = {"latency": p.latency}
    tier = p.service_tier if own else _TIERS.get(p.service_tier or "")
    if tier is not None:
        out["serviceTier"] = {"type": tier}
    if output := _output(request, own, model):
        out["outputConfig"] = output
    if request.metadata and own:
        out["requestMetadata"] = request.metadata
    if own:
        for key, value in request.extras.items():
            known = out.get(key)
            if known is not None or key not in _HELD:
                out[key] = joined(known, value)
    return out


_HELD = ("toolConfig", "serviceTier")
"""Objects whose further fields mean nothing without those we know."""


def joined(known: Any, extras: Any) -> Any:
    """What is written, with the further fields of its objects; what is known goes before what was kept."""
    if type(known) is not dict or type(extras) is not dict:
        return extras if known is None else known
    out = {key: joined(known.get(key), value) for key, value in extras.items()}
    return {**out, **{key: value for key, value in known.items() if key not in out}}


def _member(kind: str, value: Any, extras: dict[str, Any], own: bool) -> dict[str, Any]:
    """A union's member, with the further fields of its object and what stands beside it."""
    if not own or not extras:
        return {kind: value}
    more = {key: kept for key, kept in extras.items() if key not in (BESIDE, POINT, "s3Location")}
    return {kind: joined(value, more) if more else value, **extras.get(BESIDE, {})}


def unsaid(request: Request) -> list[str]:
    """The parameters that have no word here."""
    p = request.parameters
    names = [
        name for name in ("seed", "presence_penalty", "frequency_penalty", "verbosity") if getattr(p, name) is not None
    ]
    if request.user is not None:
        names.append("user")
    choice = request.tool_choice
    if choice is not None and choice.parallel is False:
        names.append("parallel_tool_calls")
    if request.protocol != "bedrock":
        names += ["service_tier"] if p.service_tier is not None and p.service_tier not in _TIERS else []
        names += ["metadata"] if request.metadata else []
    return names


def _additional(request: Request, model: str) -> dict[str, Any]:
    p = request.parameters
    out: dict[str, Any] = {}
    if p.top_k is not None:
        out = {"inferenceConfig": {"topK": p.top_k}} if ".nova" in model else {"top_k": p.top_k}
    if p.thinking is not None:
        out["thinking"] = thinking(p.thinking)
    if p.effort is not None and request.protocol != "bedrock":
        out |= _effort(p.effort, model)
    return out


def _effort(effort: str, model: str) -> dict[str, Any]:
    """An effort for models that do not read `outputConfig`: Nova 2's extended thinking, gpt-oss, and GPT from 5 on,
    which refuses gpt-oss's field (github.com/stdapi-ai/stdapi.ai/issues/283, 2026-09-22)."""
    if ".nova" in model:
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}
    if "openai.gpt-oss" in model:
        return {"reasoning_effort": effort}
    return {"reasoning": {"effort": effort}} if "openai.gpt" in model else {}


def _output(request: Request, own: bool, model: str) -> dict[str, Any]:
    p = request.parameters
    out: dict[str, Any] = {}
    if p.effort is not None and (own or (p.effort != "none" and not _effort(p.effort, model))):
        out["effort"] = p.effort if own or p.effort != "minimal" else "low"
    if p.format is not None and p.format["type"] != "text":
        if p.format["type"] != "json_schema":
            f.wrong("response_format", "This model knows no JSON mode without a schema.", "send a json_schema")
        given = p.format["json_schema"]
        shape = given.get("schema")
        schema = {"schema": f.encode({"type": "object"} if shape is None else shape).decode()}
        schema |= {key: given[key] for key in ("name", "description") if given.get(key) is not None}
        out["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    return out


def point(ttl: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """A cache point, with what else was kept of it."""
    out: dict[str, Any] = {"type": "default"} if ttl == "default" else {"type": "default", "ttl": ttl}
    if not more:
        return {"cachePoint": out}
    return {"cachePoint": {**out, **{k: v for k, v in more.items() if k != BESIDE}}, **more.get(BESIDE, {})}


def _messages(request: Request, own: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    out: list[dict[str, Any]] = []
    hoisted: list[dict[str, Any]] = []
    for i, message in enumerate(request.messages):
        if message.role == "system" and not own:
            hoisted += _blocks(message.content, own, f"messages[{i}]")
            continue
        role = "user" if message.role == "tool" else message.role
        content = _turn(message, own, f"messages[{i}]")
        if not own and not content:
            continue
        if not own and out and out[-1]["role"] == role:
            out[-1]["content"] += content
            continue
        turn = {"role": role, "content": content}
        out.append({**turn, **message.extras} if own and message.extras else turn)
    if not out and not own:
        f.wrong("messages", "No message is left for this model.", "send a user message")
    if request.checkpoint and out and "cachePoint" not in out[-1]["content"][-1]:
        out[-1]["content"].append(point(request.checkpoint))
    return out, hoisted


def _turn(message: Message, own: bool, path: str) -> list[dict[str, Any]]:
    content = message.content
    only = content[0] if len(content) == 1 else None
    if type(only) is Text and only.text and not (only.checkpoint or only.citations or only.extras):
        return [{"text": only.text}]
    return _blocks(content, own, path)


def _blocks(blocks: tuple[Block, ...], own: bool, path: str) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for block in blocks:
        if not own:
            if isinstance(block, Text) and not block.text:
                continue
            if isinstance(block, Thinking) and block.signature is None and block.redacted is None:
                continue
        out.append(_block(block, own, path))
        if not isinstance(block, Thinking) and (ttl := block.checkpoint or _inner(block)):
            out.append(point(ttl, block.extras.get(POINT) if own else None))
    return out


def _inner(block: Block) -> str:
    """A cache point within a tool result moves behind it: Converse knows none inside."""
    if not isinstance(block, ToolResult):
        return ""
    return next((b.checkpoint for b in block.content if not isinstance(b, Thinking) and b.checkpoint), "")


def _block(block: Block, own: bool, path: str) -> dict[str, Any]:
    extras = block.extras
    match block:
        case Text():
            if own and block.citations:
                return {"citationsContent": {"content": [{"text": block.text}], "citations": block.citations}}
            return _member("text", block.text, extras, own)
        case ToolUse():
            use = {"toolUseId": block.id, "name": block.name, "input": f.raw_arguments(block.arguments, path)}
            return _member("toolUse", use, extras, own)
        case ToolResult():
            content = [_result(inner, own, path) for inner in block.content]
            if not content and not own:
                content = [{"text": "(empty)"}]
            result: dict[str, Any] = {"toolUseId": block.id, "content": content}
            if block.error:
                result["status"] = "error"
            return _member("toolResult", result, extras, own)
        case Thinking():
            if block.redacted is not None:
                return _member("reasoningContent", {"redactedContent": block.redacted}, extras, own)
            text = {"text": block.text}
            if block.signature is not None:
                text["signature"] = block.signature
            return _member("reasoningContent", {"reasoningText": text}, extras, own)
        case Image():
            return _member("image", _image(block, own, path), extras, own)
        case Document():
            return _member("document", _document(block, own, path), extras, own)
        case Data():
            return {"text": f.encode(block.value).decode()}
        case Opaque():
            if block.protocol != "bedrock":
                f.wrong(path, "A content block exists only in another protocol.", "leave it out for this model")
            return block.payload  # type: ignore[no-any-return]


def _result(block: Block, own: bool, path: str) -> dict[str, Any]:
    if isinstance(block, Data):
        return _member("json", block.value, {BESIDE: block.extras.get(BESIDE, {})}, own)
    return _block(block, own, path)


def _source(block: Image | Document, own: bool, path: str) -> dict[str, Any]:
    if block.data is not None:
        return {"bytes": f.base64(block.data)}
    if block.url is None or not block.url.startswith("s3://"):
        f.wrong(path, "Content is given by a reference this protocol cannot follow.", "send its bytes, or an s3:// URL")
    more = block.extras.get("s3Location", {}) if own else {}
    return {"s3Location": {"uri": block.url, **more}}


def _image(block: Image, own: bool, path: str) -> dict[str, Any]:
    source = _source(block, own, path)
    form = IMAGE_FORMATS.get(block.media_type)
    if form is None and block.url is not None and not block.media_type:  # another dialect's: its name tells
        suffix = block.url.rpartition(".")[2].lower()
        form = IMAGE_FORMATS.get(f"image/{suffix}")
    if form is None:
        f.wrong(path, f"Images of type {block.media_type or 'unknown'} cannot be sent.", "send PNG, JPEG, GIF or WebP")
    return {"format": form, "source": source}


def _document(block: Document, own: bool, path: str) -> dict[str, Any]:
    source: dict[str, Any]
    if block.text is not None:
        source = {"text": block.text}
    elif block.content is not None:
        if not own:
            f.wrong(path, "A document in chunks exists only in another protocol.", "send it as text")
        source = {"content": block.content}
    else:
        source = _source(block, own, path)
    form = DOCUMENT_FORMATS.get(block.media_type)
    if form is None and block.media_type:
        f.wrong(path, f"Documents of type {block.media_type} cannot be sent.", "send PDF, text or an office format")
    name = block.name or "document" if own else document_name(block.name)
    out: dict[str, Any] = {"name": name, "source": source}
    if form is not None:
        out["format"] = form
    if block.context is not None:
        out["context"] = block.context
    if block.citations is not None:
        out["citations"] = {"enabled": block.citations}
    return out


def _tools(request: Request, own: bool) -> dict[str, Any]:
    tools: list[dict[str, Any]] = []
    for tool in request.tools:
        tools.append(_tool(tool, own))
        if tool.checkpoint:
            tools.append(point(tool.checkpoint, tool.extras.get(POINT) if own else None))
    out: dict[str, Any] = {"tools": tools}
    if (choice := request.tool_choice) is not None:
        named: dict[str, Any] = {"name": choice.name} if choice.kind == "tool" else {}
        out["toolChoice"] = _member(choice.kind, named, choice.extras, own)
    return out


def _tool(tool: Tool, own: bool) -> dict[str, Any]:
    if tool.kind:
        if not own:
            called = tool.name or tool.kind
            f.wrong("tools", f"The tool {called} exists only in another protocol.", "leave it out for this model")
        return _member(tool.kind, {}, tool.extras, own)
    schema = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    out: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": schema}}
    if tool.description:
        out["description"] = tool.description
    if tool.strict is not None:
        out["strict"] = tool.strict
    return _member("toolSpec", out, tool.extras, own)
