"""OpenAI Responses: reading a request.

`instructions` and leading system or developer items become `Request.system`. Items of the assistant that follow each
other (reasoning, messages, calls) are one turn; `items` reads them. Fields that no other dialect has stay in `extras`,
those of `reasoning` and `text` by their dotted names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hapenny.core.messages import Block, Parameters, Request, Text, Tool
from hapenny.protocols import fields as f
from hapenny.protocols.openai.parameters import SAMPLING, tool_choice
from hapenny.protocols.openai.responses import items

_READERS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "max_output_tokens": ("max_tokens", partial(f.integer, low=1)),
    "temperature": ("temperature", SAMPLING["temperature"]),
    "top_p": ("top_p", SAMPLING["top_p"]),
    "service_tier": ("service_tier", SAMPLING["service_tier"]),
}


def decode(body: bytes, stream: bool | None) -> Request:
    """The request in a Responses body."""
    data = f.load(body)
    pop = data.pop
    model = f.needed(data, "model", "")
    given = pop("input", None)
    f.bound(data)
    if type(given) is list:
        f.bound(given)
    instructions = f.optional_string(pop("instructions", None), "instructions")
    system: tuple[Block, ...] = (Text(instructions),) if instructions else ()
    leading, messages = items.turns(given)
    tools: tuple[Tool, ...] = ()
    if (listed := pop("tools", None)) is not None:
        tools = tuple(_tool(tool, f"tools[{i}]") for i, tool in enumerate(f.array(listed, "tools")))
    asked: dict[str, Any] = {}
    for key, (name, read) in _READERS.items():
        if key in data:
            asked[name] = read(pop(key), key)
    _reasoning(data, asked)
    _text(data, asked)
    if pop("background", None):
        data["background"] = True
    metadata = pop("metadata", None)
    user = f.optional_string(pop("user", None), "user")
    if user is None:
        user = f.optional_string(data.get("safety_identifier"), "safety_identifier")
    choice = tool_choice(pop("tool_choice", None), pop("parallel_tool_calls", None), data, _named)
    streamed = bool(f.flag(pop("stream", None), "stream"))
    return Request(
        protocol="responses",
        model=model,
        messages=messages,
        system=system + leading,
        tools=tools,
        tool_choice=choice,
        parameters=Parameters(**asked),
        stream=streamed if stream is None else stream,
        stream_usage=True,
        store=f.flag(pop("store", None), "store"),
        user=user,
        metadata={} if metadata is None else f.mapping(metadata, "metadata"),
        extras=f.without_nulls(data),
    )


def _reasoning(data: dict[str, Any], asked: dict[str, Any]) -> None:
    """Takes the effort; what else stands beside it stays in `data` by its dotted name."""
    given = data.pop("reasoning", None)
    if given is None:
        return
    given = f.mapping(given, "reasoning")
    asked["effort"] = f.optional_string(given.pop("effort", None), "reasoning.effort")
    data.update((f"reasoning.{key}", value) for key, value in given.items())


def _text(data: dict[str, Any], asked: dict[str, Any]) -> None:
    """Takes format and verbosity of the text."""
    given = data.pop("text", None)
    if given is None:
        return
    given = f.mapping(given, "text")
    asked["verbosity"] = f.optional_string(given.pop("verbosity", None), "text.verbosity")
    form = given.pop("format", None)
    if form is not None:
        asked["format"] = _format(f.mapping(form, "text.format"))
    data.update((f"text.{key}", value) for key, value in given.items())


def _format(form: dict[str, Any]) -> dict[str, Any] | None:
    """The answer's format as chat completions name it: the schema's fields one level down."""
    kind = f.string(form.get("type"), "text.format.type")
    if kind == "text" and len(form) == 1:
        return None
    if kind != "json_schema":
        return form
    f.needed(dict(form), "name", "text.format.")
    f.mapping(form.get("schema"), "text.format.schema")
    return {"type": kind, "json_schema": {key: value for key, value in form.items() if key != "type"}}


def _tool(tool: Any, path: str) -> Tool:
    kind = f.string(f.mapping(tool, path).get("type"), f"{path}.type")
    if kind != "function":
        name = tool.get("name", kind)
        return Tool(f.string(name, f"{path}.name"), kind=kind, extras=tool)
    tool.pop("type")
    name = f.needed(tool, "name", f"{path}.")
    schema = tool.pop("parameters", None)
    if schema is not None:
        f.mapping(schema, f"{path}.parameters")
    description = f.optional_string(tool.pop("description", None), f"{path}.description")
    strict = f.flag(tool.pop("strict", None), f"{path}.strict")
    return Tool(name, description, schema, strict, extras=f.without_nulls(tool))


def _named(choice: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = f.needed(choice, "name", "tool_choice.")
    return name, {key: value for key, value in choice.items() if key != "type"}
