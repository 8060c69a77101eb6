"""Anthropic messages: reading a request, also as the native body of Bedrock's InvokeModel.

`anthropic-beta` (header, or list in the body on Bedrock) becomes `extras["anthropic_beta"]`, since it changes what
the other fields mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from hapenny.core.messages import (
    Block,
    Document,
    Image,
    Message,
    Opaque,
    Parameters,
    Protocol,
    Request,
    Role,
    Text,
    Thinking,
    Thinks,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Ttl,
)
from hapenny.protocols import fields as f

VERSION = "2023-06-01"
"""The API version that nearly all clients name, and that is sent where a request names none."""
VERSIONED = "anthropic_version"
"""What it is called in a body, on Bedrock."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ROLES: tuple[Role, ...] = ("user", "assistant", "system")


def decode(
    body: bytes,
    *,
    protocol: Protocol,
    model: str | None,
    stream: bool | None,
    beta: str | None = None,
    version: str | None = None,
) -> Request:
    """The request in a messages body.

    Args:
        body: any bytes.
        protocol: `anthropic` or `invoke`; blocks that are not understood are marked with it.
        model: the model named by the path, or None: the body names it.
        stream: what the path says about streaming, or None: the body says it.
        beta: the `anthropic-beta` header.
        version: the `anthropic-version` header; one that is not `VERSION` is kept, and sent to Anthropic.
    """
    data = f.load(body)
    pop = data.pop
    if model is None:
        model = f.needed(data, "model", "")
    listed = pop("messages", None)
    f.bound(data)
    system: tuple[Block, ...] = ()
    if (given := pop("system", None)) is not None:
        system = _content(given, "system", protocol)
    if type(listed) is not list or not listed:
        f.wrong("messages", "messages is missing, empty or not an array.", "send at least one message")
    messages = tuple([_message(item, i, protocol) for i, item in enumerate(listed)])
    tools: tuple[Tool, ...] = ()
    if (given := pop("tools", None)) is not None:
        tools = tuple([_tool(tool, f"tools[{i}]") for i, tool in enumerate(f.array(given, "tools"))])
    effort, form = _output(data)
    given = {_NAMES.get(key, key): _READERS[key](pop(key), key) for key in [key for key in data if key in _READERS]}
    parameters = Parameters(effort=effort, format=form, **given)
    if parameters.max_tokens is None:
        f.wrong("max_tokens", "max_tokens is missing.", "send max_tokens as an integer")
    asked = bool(f.flag(pop("stream", None), "stream"))
    user, metadata = None, pop("metadata", None)
    if metadata is not None:
        user = f.optional_string(f.mapping(metadata, "metadata").pop("user_id", None), "metadata.user_id")
    betas = list(f.strings(data.get("anthropic_beta"), "anthropic_beta"))
    if beta:
        betas += [name for part in beta.split(",") if (name := part.strip()) and name not in betas]
    if betas:
        data["anthropic_beta"] = betas
    if protocol == "anthropic":
        data.pop(VERSIONED, None)
    return Request(
        protocol=protocol,
        model=model,
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=_choice(pop("tool_choice", None)),
        parameters=parameters,
        stream=asked if stream is None else stream,
        user=user,
        metadata=metadata or {},
        checkpoint=_point(data),
        extras=f.without_nulls(data),
        api_version=version if version is not None and version != VERSION and _DAY.fullmatch(version) else None,
    )


def _point(data: dict[str, Any]) -> Ttl:
    """The cache point asked for as a whole; what else it says stays in `data`."""
    control = data.pop("cache_control", None)
    held = {"cache_control": control}
    ttl = f.ttl_of(control, "cache_control")
    f.take_point(held, "")
    data.update(held)
    return ttl


def thinks(value: Any, path: str) -> Thinks | None:
    """Reasoning as asked for by a `thinking` object."""
    if value is None:
        return None
    kind = f.needed(f.mapping(value, path), "type", f"{path}.")
    return Thinks(kind, f.integer(value.pop("budget_tokens", None), f"{path}.budget_tokens", 1), value)


_NAMES = {"stop_sequences": "stop"}
_READERS: dict[str, Callable[[Any, str], Any]] = {
    "max_tokens": partial(f.integer, low=0),  # 0 fills the prompt cache and answers nothing
    "temperature": f.share,
    "top_p": f.share,
    "top_k": partial(f.integer, low=0),
    "stop_sequences": f.strings,
    "thinking": thinks,
    "service_tier": f.optional_string,
}


def _output(data: dict[str, Any]) -> tuple[str | None, Any]:
    config = data.get("output_config")
    if config is None:
        return None, None
    effort = f.optional_string(f.mapping(config, "output_config").pop("effort", None), "output_config.effort")
    form = config.get("format")
    if form is not None and f.mapping(form, "output_config.format").keys() == {"type", "schema"}:
        if form["type"] != "json_schema":
            f.wrong("output_config.format.type", "The output format is not json_schema.", "send json_schema")
        schema = f.mapping(form["schema"], "output_config.format.schema")
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        del config["format"]
    else:
        form = None
    if not config:
        del data["output_config"]
    return effort, form


def _message(item: Any, i: int, protocol: Protocol) -> Message:
    if type(item) is not dict:
        f.wrong(f"messages[{i}]", f"messages[{i}] is not an object.", "send an object with role and content")
    if len(item) == 2 and type(item.get("content")) is str and item.get("role") in ("user", "assistant"):
        return Message(item["role"], (Text(item["content"]),))
    f.bound(item)
    role = item.pop("role", None)
    if type(role) is not str or role not in _ROLES:
        f.wrong(f"messages[{i}].role", f"messages[{i}].role is no role of this protocol.", "send user or assistant")
    content = item.pop("content", None)
    if type(content) is str:
        return Message(role, (Text(content),), None, item)
    return Message(role, _content(content, f"messages[{i}].content", protocol), None, item)


def _content(content: Any, path: str, protocol: Protocol) -> tuple[Block, ...]:
    if type(content) is str:
        return (Text(content),)
    if type(content) is not list:
        f.wrong(path, f"{path} is neither text nor an array of blocks.", "send a string or an array of content blocks")
    return tuple([block(item, f"{path}[{i}]", protocol) for i, item in enumerate(content)])


def block(item: Any, path: str, protocol: Protocol) -> Block:
    """One content block."""
    if type(item) is not dict:
        f.wrong(path, f"{path} is not an object.", "send an object with a type")
    kind = item.pop("type", None)
    if kind == "text":
        text = item.pop("text", None)
        if type(text) is not str:
            f.wrong(f"{path}.text", f"{path}.text is not a string.", "send a string")
        if not item:
            return Text(text)
        notes = item.pop("citations", None)
        citations = tuple(f.array(notes, f"{path}.citations")) if notes else ()
        return Text(text, f.take_point(item, path), citations, item)
    if kind == "tool_use":
        id_, name = f.needed(item, "id", f"{path}."), f.needed(item, "name", f"{path}.")
        arguments = f.arguments_of(f.mapping(item.pop("input", None), f"{path}.input"))
        return ToolUse(id_, name, arguments, f.take_point(item, path), item)
    if kind == "tool_result":
        id_ = f.needed(item, "tool_use_id", f"{path}.")
        content = item.pop("content", None)
        blocks = () if content is None else _content(content, f"{path}.content", protocol)
        failed = bool(f.flag(item.pop("is_error", None), f"{path}.is_error"))
        return ToolResult(id_, blocks, failed, f.take_point(item, path), item)
    if kind == "thinking":
        text = f.optional_string(item.pop("thinking", None), f"{path}.thinking") or ""
        return Thinking(text, f.optional_string(item.pop("signature", None), f"{path}.signature"), None, item)
    if kind == "redacted_thinking":
        return Thinking(redacted=f.needed(item, "data", f"{path}."), extras=item)
    f.string(kind, f"{path}.type")
    if kind == "image" and (image := _image(item, path)) is not None:
        return image
    if kind == "document" and (document := _document(item, path)) is not None:
        return document
    ttl = f.take_point(item, path)
    extras = {"cache_control": item.pop("cache_control")} if "cache_control" in item else {}
    return Opaque(protocol, {"type": kind, **item}, ttl, extras)


def _image(item: dict[str, Any], path: str) -> Image | None:
    source = f.mapping(item.get("source"), f"{path}.source")
    kind = source.get("type")
    if kind == "base64" and source.keys() == {"type", "media_type", "data"}:
        media = f.string(source["media_type"], f"{path}.source.media_type")
        data = f.blob(source["data"], f"{path}.source.data")
        del item["source"]
        return Image(media, data, checkpoint=f.take_point(item, path), extras=item)
    if kind == "url" and source.keys() == {"type", "url"}:
        url = f.string(source["url"], f"{path}.source.url")
        del item["source"]
        return Image(url=url, checkpoint=f.take_point(item, path), extras=item)
    return None


def _document(item: dict[str, Any], path: str) -> Document | None:
    source = f.mapping(item.get("source"), f"{path}.source")
    kind = source.get("type")
    data: bytes | None = None
    text: str | None = None
    url: str | None = None
    chunks: tuple[Any, ...] | None = None
    media = ""
    if kind == "base64" and source.keys() == {"type", "media_type", "data"}:
        media = f.string(source["media_type"], f"{path}.source.media_type")
        data = f.blob(source["data"], f"{path}.source.data")
    elif kind == "text" and source.keys() == {"type", "media_type", "data"}:
        media = f.string(source["media_type"], f"{path}.source.media_type")
        text = f.string(source["data"], f"{path}.source.data")
    elif kind == "content" and type(source.get("content")) is list and len(source) == 2:
        chunks = tuple(source["content"])
    elif kind == "url" and source.keys() == {"type", "url"}:
        url = f.string(source["url"], f"{path}.source.url")
    else:
        return None
    notes = item.get("citations")
    if notes is not None and f.mapping(notes, f"{path}.citations").keys() != {"enabled"}:
        return None
    cited = f.flag(notes["enabled"], f"{path}.citations.enabled") if notes is not None else None
    item.pop("citations", None)
    del item["source"]
    return Document(
        media,
        data,
        text,
        chunks,
        url,
        f.optional_string(item.pop("title", None), f"{path}.title"),
        f.optional_string(item.pop("context", None), f"{path}.context"),
        cited,
        f.take_point(item, path),
        item,
    )


def _tool(tool: Any, path: str) -> Tool:
    kind = f.mapping(tool, path).pop("type", None)
    checkpoint = f.take_point(tool, path)
    if kind is not None and kind != "custom":
        name = f.optional_string(tool.pop("name", None), f"{path}.name")
        return Tool(name or "", kind=f.string(kind, f"{path}.type"), checkpoint=checkpoint, extras=tool)
    return Tool(
        f.needed(tool, "name", f"{path}."),
        f.optional_string(tool.pop("description", None), f"{path}.description"),
        f.mapping(tool.pop("input_schema", None), f"{path}.input_schema"),
        f.flag(tool.pop("strict", None), f"{path}.strict"),
        checkpoint=checkpoint,
        extras=tool,
    )


def _choice(choice: Any) -> ToolChoice | None:
    if choice is None:
        return None
    kind = f.one_of(f.mapping(choice, "tool_choice").get("type"), "tool_choice.type", ("auto", "any", "tool", "none"))
    single = f.flag(choice.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use")
    name = f.needed(choice, "name", "tool_choice.") if kind == "tool" else None
    known = ("type", "disable_parallel_tool_use") if name is None else ("type", "disable_parallel_tool_use", "name")
    extras = {key: value for key, value in choice.items() if key not in known and value is not None}
    return ToolChoice(kind, name, None if single is None else not single, extras)  # type: ignore[arg-type]
