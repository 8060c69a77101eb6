"""Bedrock Converse: reading a request. A cache point becomes the `checkpoint` of the item before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import structs

from hapenny.core.messages import (
    Block,
    Data,
    Document,
    Image,
    Message,
    Opaque,
    Parameters,
    Request,
    Role,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Ttl,
)
from hapenny.protocols import fields as f
from hapenny.protocols.anthropic.request import thinks
from hapenny.protocols.bedrock.media import DOCUMENTS, IMAGES

_ROLES: tuple[Role, ...] = ("user", "assistant", "system")
_T = TypeVar("_T", Block, Tool)


def decode(body: bytes, model: str | None, stream: bool | None) -> Request:
    """The request in a Converse body; `model` and `stream` come from the path."""
    data = f.load(body)
    pop = data.pop
    if not model:
        f.wrong("modelId", "The path names no model.", "call /model/MODEL/converse")
    listed = pop("messages", None)
    f.bound(data)
    given = pop("system", None)
    system = () if given is None else _listed(given, "system", _system)
    messages = (
        () if listed is None else tuple([_message(item, i) for i, item in enumerate(f.array(listed, "messages"))])
    )
    tools, choice = _tools(data)
    parameters = _parameters(data)
    metadata = pop("requestMetadata", None)
    if metadata is not None and any(type(v) is not str for v in f.mapping(metadata, "requestMetadata").values()):
        f.wrong("requestMetadata", "requestMetadata holds something that is not a string.", "send strings")
    if not messages and "promptVariables" not in data and ":prompt/" not in model:
        f.wrong("messages", "messages is missing or empty.", "send at least one message")
    return Request(
        protocol="bedrock",
        model=model,
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=choice,
        parameters=parameters,
        stream=bool(stream),
        metadata=metadata or {},
        extras=f.without_nulls(data),
    )


def _parameters(data: dict[str, Any]) -> Parameters:
    given = data.pop("inferenceConfig", None)
    config = {} if given is None else f.mapping(given, "inferenceConfig")
    values: dict[str, Any] = {
        "max_tokens": f.integer(config.pop("maxTokens", None), "inferenceConfig.maxTokens", 1),
        "temperature": f.number(config.pop("temperature", None), "inferenceConfig.temperature", 0, 1),
        "top_p": f.number(config.pop("topP", None), "inferenceConfig.topP", 0, 1),
        "stop": f.strings(config.pop("stopSequences", None), "inferenceConfig.stopSequences"),
    }
    if config and (config := f.without_nulls(config)):
        data["inferenceConfig"] = config
    if (given := data.get("additionalModelRequestFields")) is not None:
        more = f.mapping(given, "additionalModelRequestFields")
        if type(more.get("top_k")) is int:
            values["top_k"] = f.integer(more.pop("top_k"), "additionalModelRequestFields.top_k", 0)
        if type(more.get("thinking")) is dict:
            values["thinking"] = thinks(more.pop("thinking"), "additionalModelRequestFields.thinking")
        if not more:
            del data["additionalModelRequestFields"]
    if (given := data.pop("performanceConfig", None)) is not None:
        latency = f.mapping(given, "performanceConfig").pop("latency", None)
        if latency is not None:
            values["latency"] = f.one_of(latency, "performanceConfig.latency", ("standard", "optimized"))
        if given:
            data["performanceConfig"] = given
    if (given := data.pop("serviceTier", None)) is not None:
        values["service_tier"] = f.needed(f.mapping(given, "serviceTier"), "type", "serviceTier.")
        if given:
            data["serviceTier"] = given
    if (given := data.pop("outputConfig", None)) is not None:
        config = f.mapping(given, "outputConfig")
        values["effort"] = f.optional_string(config.pop("effort", None), "outputConfig.effort")
        values["format"], rest = _format(config.pop("textFormat", None))
        if rest:
            config["textFormat"] = rest
        if config:
            data["outputConfig"] = config
    return Parameters(**values)


def _format(value: Any) -> tuple[Any, dict[str, Any]]:
    """The format of the answer, and what else stands in its objects."""
    if value is None:
        return None, {}
    path = "outputConfig.textFormat"
    f.one_of(f.mapping(value, path).get("type"), f"{path}.type", ("json_schema",))
    structure = f.mapping(value.get("structure"), f"{path}.structure")
    schema = f.mapping(structure.get("jsonSchema"), f"{path}.structure.jsonSchema")
    text = f.needed(schema, "schema", f"{path}.structure.jsonSchema.")
    out: dict[str, Any] = {"name": f.optional_string(schema.pop("name", None), f"{path}.name") or "answer"}
    if (about := f.optional_string(schema.pop("description", None), f"{path}.description")) is not None:
        out["description"] = about
    out["schema"] = f.load(text.encode("utf-8", "replace"))
    rest = _left(value, "type", "structure")
    inner = _left(structure, "jsonSchema")
    if deepest := f.without_nulls(schema):
        inner["jsonSchema"] = deepest
    if inner:
        rest["structure"] = inner
    return {"type": "json_schema", "json_schema": out}, rest


def _left(data: dict[str, Any], *known: str) -> dict[str, Any]:
    """What of `data` is not known."""
    return {key: value for key, value in data.items() if key not in known and value is not None}


def _listed(value: Any, path: str, read: Callable[[Any, str], _T]) -> tuple[_T, ...]:
    items: list[_T] = []
    for i, item in enumerate(f.array(value, path)):
        if type(item) is dict and (point := item.get("cachePoint")) is not None and items:
            before = items[-1]
            if not isinstance(before, Thinking):
                ttl, more = _ttl(item, point, f"{path}[{i}].cachePoint")
                extras = {**before.extras, POINT: more} if more else before.extras
                items[-1] = structs.replace(before, checkpoint=ttl, extras=extras)
                continue
        items.append(read(item, f"{path}[{i}]"))
    return tuple(items)


POINT = "cachePoint"
"""The key of an item's extras for what else stands in the cache point behind it."""
BESIDE = ""
"""The key of a block's extras for what stands beside the one member of its union."""


def _ttl(item: dict[str, Any], point: Any, path: str) -> tuple[Ttl, dict[str, Any]]:
    f.one_of(f.mapping(point, path).get("type"), f"{path}.type", ("default",))
    given = point.get("ttl")
    ttl: Any = "default" if given is None else f.one_of(given, f"{path}.ttl", ("5m", "1h"))
    more = _left(point, "type", "ttl")
    if len(item) > 1 and (beside := _left(item, "cachePoint")):
        more[BESIDE] = beside
    return ttl, more


_MEMBERS = frozenset(
    (
        "text", "json", "image", "document", "video", "audio", "toolUse", "toolResult", "guardContent", "cachePoint",
        "reasoningContent", "citationsContent", "searchResult", "toolAddition", "toolRemoval",
        "toolSpec", "systemTool", "auto", "any", "tool", "bytes", "s3Location", "content", "reasoningText",
        "redactedContent",
    )
)  # fmt: skip
"""The members of Converse's unions, each of which stands alone."""


def _member(item: Any, path: str) -> tuple[str, Any, dict[str, Any]]:
    """The one member of a union, and what stands beside it that is none."""
    if type(item) is dict:
        if len(item) == 1:
            ((kind, value),) = item.items()
            return kind, value, {}
        known = [key for key in item if key in _MEMBERS]
        if len(known) == 1:
            return known[0], item[known[0]], _left(item, known[0])
    return f.wrong(path, f"{path} is not an object with exactly one member.", "send one member, such as text")


def _beside(extras: dict[str, Any], beside: dict[str, Any]) -> dict[str, Any]:
    return {**extras, BESIDE: beside} if beside else extras


def _system(item: Any, path: str) -> Block:
    kind, value, beside = _member(item, path)
    if kind == "text":
        return Text(f.string(value, f"{path}.text"), extras=_beside({}, beside))
    f.mapping(value, f"{path}.{kind}")
    return Opaque("bedrock", item)


def _message(item: Any, number: int) -> Message:
    if type(item) is dict and len(item) == 2 and type(content := item.get("content")) is list and len(content) == 1:
        role, only = item.get("role"), content[0]
        if (role == "user" or role == "assistant") and type(only) is dict and len(only) == 1:
            text = only.get("text")
            if type(text) is str:
                return Message(role, (Text(text),))
    path = f"messages[{number}]"
    f.bound(f.mapping(item, path))
    role = item.pop("role", None)
    if type(role) is not str or role not in _ROLES:
        f.wrong(f"{path}.role", f"{path}.role is no role of this protocol.", "send user or assistant")
    content = item.pop("content", None)
    return Message(role, _listed(content, f"{path}.content", block), None, item)


def block(item: Any, path: str) -> Block:
    """One content block."""
    kind, value, beside = _member(item, path)
    path = f"{path}.{kind}"
    if kind == "text":
        return Text(f.string(value, path), extras=_beside({}, beside))
    f.mapping(value, path)
    if kind == "toolUse":
        id_, name = f.needed(value, "toolUseId", f"{path}."), f.needed(value, "name", f"{path}.")
        arguments = f.mapping(value.pop("input", None), f"{path}.input")
        return ToolUse(id_, name, f.arguments_of(arguments), extras=_beside(value, beside))
    if kind == "toolResult":
        id_ = f.needed(value, "toolUseId", f"{path}.")
        content = tuple(
            [
                _result(inner, f"{path}.content[{i}]")
                for i, inner in enumerate(f.array(value.pop("content", None), f"{path}.content"))
            ]
        )
        status = value.pop("status", None)
        if status is not None:
            f.one_of(status, f"{path}.status", ("success", "error"))
        return ToolResult(id_, content, status == "error", extras=_beside(value, beside))
    if kind == "reasoningContent":
        return _reasoning(value, path, beside)
    if kind == "image" and (image := _image(value, path, beside)) is not None:
        return image
    if kind == "document" and (document := _document(value, path, beside)) is not None:
        return document
    if kind == "citationsContent" and not beside:
        cited = _cited(value)
        if cited is not None:
            return cited
    return Opaque("bedrock", item)


def _result(item: Any, path: str) -> Block:
    if type(item) is dict and "json" in item:
        kind, value, beside = _member(item, path)
        if kind == "json":
            return Data(value, extras=_beside({}, beside))
    return block(item, path)


def _reasoning(value: dict[str, Any], path: str, beside: dict[str, Any]) -> Thinking:
    kind, inner, extras = _member(value, path)
    extras = _beside(extras, beside)
    if kind == "redactedContent":
        return Thinking(redacted=f.string(inner, f"{path}.redactedContent"), extras=extras)
    if kind != "reasoningText":
        f.wrong(path, f"{path} holds neither reasoningText nor redactedContent.", "send one of them")
    # Reasoning that is not shown comes without a text, and clients send it back as null: only the signature counts.
    text = f.optional_string(f.mapping(inner, f"{path}.reasoningText").pop("text", None), f"{path}.reasoningText.text")
    signature = f.optional_string(inner.pop("signature", None), f"{path}.reasoningText.signature")
    if inner := f.without_nulls(inner):
        extras = {**extras, "reasoningText": inner}
    return Thinking(text or "", signature, extras=extras)


def _image(value: dict[str, Any], path: str, beside: dict[str, Any]) -> Image | None:
    form = f.one_of(value.get("format"), f"{path}.format", tuple(IMAGES))
    kind, source, more = _member(value.get("source"), f"{path}.source")
    rest = _beside(_left(value, "format", "source"), beside)
    if more:
        rest["source"] = more
    if kind == "bytes":
        return Image(IMAGES[form], f.blob(source, f"{path}.source.bytes"), extras=rest)
    if kind == "s3Location":
        url = f.needed(f.mapping(source, f"{path}.source.s3Location"), "uri", f"{path}.source.s3Location.")
        return Image(IMAGES[form], None, url, extras={**rest, "s3Location": source} if source else rest)
    return None


def _document(value: dict[str, Any], path: str, beside: dict[str, Any]) -> Document | None:
    form = value.get("format")
    media = DOCUMENTS[f.one_of(form, f"{path}.format", tuple(DOCUMENTS))] if form is not None else ""
    name = f.optional_string(value.get("name"), f"{path}.name")
    if not name:
        f.wrong(f"{path}.name", f"{path}.name is missing.", "give the document a name")
    kind, source, more = _member(value.get("source"), f"{path}.source")
    data = text = url = chunks = None
    rest: dict[str, Any] = {"source": more} if more else {}
    if kind == "bytes":
        data = f.blob(source, f"{path}.source.bytes")
    elif kind == "text":
        text = f.string(source, f"{path}.source.text")
    elif kind == "s3Location":
        url = f.needed(f.mapping(source, f"{path}.source.s3Location"), "uri", f"{path}.source.s3Location.")
        rest |= {"s3Location": source} if source else {}
    elif kind == "content":
        chunks = tuple(f.array(source, f"{path}.source.content"))
    else:
        return None
    context = f.optional_string(value.get("context"), f"{path}.context")
    notes = value.get("citations")
    cited = None
    if notes is not None:
        cited = f.flag(f.mapping(notes, f"{path}.citations").pop("enabled", None), f"{path}.citations.enabled")
        rest |= {"citations": notes} if notes else {}
    rest |= _beside(_left(value, "format", "name", "source", "context", "citations"), beside)
    return Document(media, data, text, chunks, url, name, context, cited, extras=rest)


def _cited(value: dict[str, Any]) -> Text | None:
    content, citations = value.get("content"), value.get("citations")
    if type(content) is not list or type(citations) is not list or len(value) != 2 or len(content) != 1:
        return None
    if type(content[0]) is not dict or type(text := content[0].get("text")) is not str or not citations:
        return None
    return Text(text, citations=tuple(citations)) if len(content[0]) == 1 else None


def _tools(data: dict[str, Any]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    config = data.pop("toolConfig", None)
    if config is None:
        return (), None
    tools = _listed(f.mapping(config, "toolConfig").get("tools"), "toolConfig.tools", _tool)
    if rest := _left(config, "tools", "toolChoice"):
        data["toolConfig"] = rest
    given = config.get("toolChoice")
    if given is None:
        return tools, None
    kind, value, beside = _member(given, "toolConfig.toolChoice")
    f.one_of(kind, "toolConfig.toolChoice", ("auto", "any", "tool"))
    f.mapping(value, f"toolConfig.toolChoice.{kind}")
    name = f.needed(value, "name", "toolConfig.toolChoice.tool.") if kind == "tool" else None
    return tools, ToolChoice(kind, name, extras=_beside(value, beside))  # type: ignore[arg-type]


def _tool(item: Any, path: str) -> Tool:
    kind, value, beside = _member(item, path)
    f.mapping(value, f"{path}.{kind}")
    if kind != "toolSpec":
        name = f.optional_string(value.get("name"), f"{path}.{kind}.name")
        return Tool(name or "", kind=kind, extras=_beside(value, beside))
    path = f"{path}.toolSpec"
    name = f.needed(value, "name", f"{path}.")
    holder = f.mapping(value.pop("inputSchema", None), f"{path}.inputSchema")
    schema = f.mapping(holder.pop("json", None), f"{path}.inputSchema")
    about = f.optional_string(value.pop("description", None), f"{path}.description")
    strict = f.flag(value.pop("strict", None), f"{path}.strict")
    if holder := f.without_nulls(holder):
        value["inputSchema"] = holder
    return Tool(name, about, schema, strict, extras=_beside(value, beside))
