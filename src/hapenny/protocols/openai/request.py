"""OpenAI chat completions: reading a request.

Leading system and developer messages become `Request.system`; later ones stay where they are. Two habits of
compatible servers are understood besides OpenAI's own words: `cache_control` on parts and tools, and reasoning in
assistant turns as `reasoning_content` or, with signatures, as `thinking_blocks`. So are tools, calls and results as
editors send them that think of Claude: in Anthropic's form, or without the level of `function`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hapenny.core.messages import (
    Block,
    Document,
    Image,
    Message,
    Opaque,
    Parameters,
    Request,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
)
from hapenny.protocols import fields as f
from hapenny.protocols.openai.parameters import SAMPLING, stream_usage, tool_choice


def decode(body: bytes, stream: bool | None) -> Request:
    """The request in a chat completions body."""
    data = f.load(body)
    pop = data.pop
    model = f.needed(data, "model", "")
    listed = pop("messages", None)
    f.bound(data)
    system, messages = _messages(listed)
    tools: tuple[Tool, ...] = ()
    if (given := pop("tools", None)) is not None:
        tools = tuple(_tool(tool, f"tools[{i}]") for i, tool in enumerate(f.array(given, "tools")))
    parameters = Parameters(**{_NAMES.get(key, key): _READERS[key](pop(key), key) for key in _given(data)})
    asked = bool(f.flag(pop("stream", None), "stream"))
    usage = stream_usage(data)
    metadata = pop("metadata", None)
    return Request(
        protocol="openai",
        model=model,
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=tool_choice(pop("tool_choice", None), pop("parallel_tool_calls", None), data, _named),
        parameters=parameters,
        stream=asked if stream is None else stream,
        stream_usage=usage,
        store=f.flag(pop("store", None), "store"),
        user=f.optional_string(pop("user", None), "user"),
        metadata={} if metadata is None else f.mapping(metadata, "metadata"),
        extras=f.without_nulls(data),
    )


def _format(value: Any, path: str) -> Any:
    if value is None:
        return None
    kind = f.mapping(value, path).get("type")
    f.string(kind, f"{path}.type")
    if kind == "json_schema":
        schema = f.mapping(value.get("json_schema"), f"{path}.json_schema")
        f.string(schema.get("name"), f"{path}.json_schema.name")
        if schema.get("schema") is not None:
            f.mapping(schema["schema"], f"{path}.json_schema.schema")
    return value


def _given(data: dict[str, Any]) -> list[str]:
    """The parameters in `data`; of the two names of the limit only the newer, if both are there."""
    if data.get("max_completion_tokens") is not None:
        data.pop("max_tokens", None)
    elif "max_tokens" in data:
        data.pop("max_completion_tokens", None)
    return [key for key in data if key in _READERS]


_NAMES = {"max_completion_tokens": "max_tokens", "reasoning_effort": "effort", "response_format": "format"}
_READERS: dict[str, Callable[[Any, str], Any]] = {
    **SAMPLING,
    "max_completion_tokens": SAMPLING["max_tokens"],
    "reasoning_effort": f.optional_string,
    "verbosity": f.optional_string,
    "response_format": _format,
}


def _messages(listed: Any) -> tuple[tuple[Block, ...], tuple[Message, ...]]:
    if type(listed) is not list or not listed:
        f.wrong("messages", "messages is missing, empty or not an array.", "send at least one message")
    system: list[Block] = []
    messages: list[Message] = []
    for i, item in enumerate(listed):
        if type(item) is not dict:
            f.wrong(f"messages[{i}]", f"messages[{i}] is not an object.", "send an object with role and content")
        if len(item) == 2 and type(item.get("content")) is str:
            role = item.get("role")
            if role == "user" or role == "assistant":
                messages.append(Message(role, (Text(item["content"]),)))
                continue
        f.bound(item)
        role = item.pop("role", None)
        content = item.pop("content", None)
        if role == "user":
            name = f.optional_string(item.pop("name", None), f"messages[{i}].name")
            blocks = _content(content, f"messages[{i}].content")
            messages.append(Message("user", blocks, name, f.without_nulls(item)))
        elif role == "assistant":
            messages.append(_assistant(content, item, f"messages[{i}]"))
        elif role == "system" or role == "developer":
            blocks = _content(content, f"messages[{i}].content")
            item = f.without_nulls(item)
            if messages:
                messages.append(Message("system", blocks, None, item | {"role": role} if role != "system" else item))
            else:
                system.extend(_marked(block, role, item, f"messages[{i}].content") for block in blocks)
        elif role == "tool" or role == "function":
            messages.append(_tool_message(role, content, item, f"messages[{i}]"))
        else:
            f.wrong(
                f"messages[{i}].role",
                f"messages[{i}].role is no role of this protocol.",
                "send developer, system, user, assistant or tool",
            )
    return tuple(system), tuple(messages)


def _marked(block: Block, role: str, rest: dict[str, Any], path: str) -> Block:
    if not isinstance(block, Text):
        f.wrong(path, f"{path} holds something that is not text.", "send system instructions as text")
    extras = block.extras
    if role != "system":
        extras = extras | {"role": role}
    if rest:
        extras = extras | {"message": rest}
    return Text(block.text, block.checkpoint, (), extras)


def _assistant(content: Any, item: dict[str, Any], path: str) -> Message:
    calls = item.pop("tool_calls", None)
    signed = item.pop("thinking_blocks", None)
    reasoning = item.pop("reasoning_content", None)
    name = f.optional_string(item.pop("name", None), f"{path}.name")
    blocks: list[Block] = []
    if signed is not None:
        for i, block in enumerate(f.array(signed, f"{path}.thinking_blocks")):
            blocks.append(_thinking(f.mapping(block, f"{path}.thinking_blocks[{i}]"), f"{path}.thinking_blocks[{i}]"))
    elif reasoning:
        blocks.append(Thinking(f.string(reasoning, f"{path}.reasoning_content")))
    if content is not None and not (content == "" and (calls or blocks)):
        blocks.extend(_content(content, f"{path}.content"))
    if calls is not None:
        for i, call in enumerate(f.array(calls, f"{path}.tool_calls")):
            blocks.append(_call(f.mapping(call, f"{path}.tool_calls[{i}]"), f"{path}.tool_calls[{i}]"))
    return Message("assistant", tuple(blocks), name, f.without_nulls(item) if item else {})


def _thinking(block: dict[str, Any], path: str) -> Thinking:
    if block.pop("type", None) == "redacted_thinking":
        return Thinking(redacted=f.needed(block, "data", f"{path}."), extras=f.without_nulls(block))
    text = f.string(block.pop("thinking", ""), f"{path}.thinking")
    signature = f.optional_string(block.pop("signature", None), f"{path}.signature")
    return Thinking(text, signature, extras=f.without_nulls(block))


def _call(call: dict[str, Any], path: str) -> Block:
    kind = call.get("type", "function")
    if kind != "function":
        f.string(kind, f"{path}.type")
        return Opaque("openai", call)
    call.pop("type", None)
    id_ = f.needed(call, "id", f"{path}.")
    function = f.mapping(call.pop("function", None), f"{path}.function")
    name = f.needed(function, "name", f"{path}.function.")
    arguments = f.string(function.pop("arguments", "") or "", f"{path}.function.arguments")
    call.pop("index", None)
    if function:
        call["function"] = function
    return ToolUse(id_, name, arguments, extras=f.without_nulls(call))


def _tool_message(role: str, content: Any, item: dict[str, Any], path: str) -> Message:
    if role == "function":
        name = f.needed(item, "name", f"{path}.")
        return Message("tool", (ToolResult(name, _result(content, path)),), None, item | {"role": "function"})
    id_ = f.needed(item, "tool_call_id", f"{path}.")
    return Message("tool", (ToolResult(id_, _result(content, path)),), None, f.without_nulls(item))


def _result(content: Any, path: str) -> tuple[Block, ...]:
    """What a tool at `path` returned; nothing where it has not a word to say."""
    return () if content is None else _content(content, f"{path}.content")


def _content(content: Any, path: str) -> tuple[Block, ...]:
    if type(content) is str:
        return (Text(content),)
    if type(content) is not list:
        f.wrong(path, f"{path} is neither text nor an array of parts.", "send a string or an array of content parts")
    return tuple(_part(part, f"{path}[{i}]") for i, part in enumerate(content))


def _part(part: Any, path: str) -> Block:
    if type(part) is str:
        return Text(part)
    kind = f.mapping(part, path).pop("type", None)
    if kind == "text":
        checkpoint = f.take_point(part, path)
        return Text(f.string(part.pop("text", None), f"{path}.text"), checkpoint, (), f.without_nulls(part))
    if kind == "image_url":
        return _image(part, path)
    if kind == "file" and type(file := part.get("file")) is dict and "file_data" in file:
        return _file(part, file, path)
    if kind == "tool_use" and type(part.get("input")) is dict:
        id_, name = f.needed(part, "id", f"{path}."), f.needed(part, "name", f"{path}.")
        return ToolUse(id_, name, f.encode(part["input"]).decode())
    if kind == "tool_result" and "tool_use_id" in part:
        id_ = f.needed(part, "tool_use_id", f"{path}.")
        return ToolResult(id_, _result(part.get("content"), path), part.get("is_error") is True)
    part["type"] = f.string(kind, f"{path}.type")
    return Opaque("openai", part)


def _image(part: dict[str, Any], path: str) -> Image:
    given = part.pop("image_url", None)
    image = {"url": given} if type(given) is str else f.mapping(given, f"{path}.image_url")
    url = f.needed(image, "url", f"{path}.image_url.")
    detail = f.optional_string(image.pop("detail", None), f"{path}.image_url.detail")
    checkpoint = f.take_point(part, path)
    if image:
        part["image_url"] = image
    if url.startswith("data:"):
        media, data = f.data_url(url, f"{path}.image_url.url")
        return Image(media, data, None, detail, checkpoint, part)
    return Image("", None, url, detail, checkpoint, part)


def _file(part: dict[str, Any], file: dict[str, Any], path: str) -> Document:
    url = f.string(file.pop("file_data"), f"{path}.file.file_data")
    if url.startswith("data:"):
        media, data = f.data_url(url, f"{path}.file.file_data")
    else:
        media, data = "application/pdf", f.blob(url, f"{path}.file.file_data")
    name = f.optional_string(file.pop("filename", None), f"{path}.file.filename")
    checkpoint = f.take_point(part, path)
    if not file:
        del part["file"]
    return Document(media, data, name=name, checkpoint=checkpoint, extras=part)


def _tool(tool: Any, path: str) -> Tool:
    kind = f.mapping(tool, path).get("type", "function")
    if kind == "function" and "function" not in tool and "name" in tool:
        tool = _nested(tool)
    if kind != "function":
        name = tool.get("name", kind)
        return Tool(f.string(name, f"{path}.name"), kind=f.string(kind, f"{path}.type"), extras=tool)
    tool.pop("type", None)
    function = f.mapping(tool.pop("function", None), f"{path}.function")
    name = f.needed(function, "name", f"{path}.function.")
    schema = function.pop("parameters", None)
    if schema is not None:
        f.mapping(schema, f"{path}.function.parameters")
    checkpoint = f.take_point(tool, path)
    description = f.optional_string(function.pop("description", None), f"{path}.function.description")
    strict = f.flag(function.pop("strict", None), f"{path}.function.strict")
    if function:
        tool["function"] = function
    return Tool(name, description, schema, strict, checkpoint=checkpoint, extras=tool)


def _nested(tool: dict[str, Any]) -> dict[str, Any]:
    """A function as Responses and Anthropic's clients write it, which some editors send here (su-kaka/gcli2api#218)."""
    renamed = {"input_schema": "parameters"}
    inner = {renamed.get(key, key): value for key, value in tool.items() if key not in ("type", "cache_control")}
    point = {"cache_control": tool["cache_control"]} if "cache_control" in tool else {}
    return {"type": "function", "function": inner, **point}


def _named(choice: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    function = f.mapping(choice.get("function"), "tool_choice.function")
    name = f.needed(function, "name", "tool_choice.function.")
    extras = {key: value for key, value in choice.items() if key not in ("type", "function")}
    if function:
        extras["function"] = function
    return name, extras
