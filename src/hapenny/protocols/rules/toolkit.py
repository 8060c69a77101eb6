"""Definitions of tools and the choice among them, as services take them."""

from __future__ import annotations

import re

from msgspec.structs import replace

from hapenny.core.messages import Tool, ToolChoice
from hapenny.protocols.rules.common import breach
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.drafts_of_json_schema import modern
from hapenny.protocols.rules.schemas import (
    Unsayable,
    adapted,
    refused_keyword,
    tool_input,
    with_composition,
    with_items,
)
from hapenny.protocols.rules.unchanged import same

_REASONS_ALONE = re.compile(r"o\d")
"""OpenAI's o-series: "Unsupported parameter: 'parallel_tool_calls' is not supported with this model"
(github.com/langchain-ai/langchain/issues/29704; tensorzero/tensorzero/issues/2805)."""
MUST_CALL = "(Answer by calling {what}.)"


def defined(draft: Draft) -> None:
    """Schemas of objects, `strict` where it is taken, each tool once.

    Raises:
        Failure: the model calls no tools at all, or two different tools have one name.
    """
    request, subject = draft.request, draft.subject
    own = [tool for tool in request.tools if not tool.kind]
    if not own or not draft.foreign:
        return
    if subject.has("tools") is False and subject.service == "converse":
        raise breach("tools_unsupported", "converse").failure()
    out: list[Tool] = []
    names: dict[str, Tool] = {}
    for tool in request.tools:
        known = names.get(tool.name)
        if known is not None and not tool.kind and known.schema == tool.schema:
            draft.note("tools=each sent once")
            continue
        if known is not None and subject.service != "openai":
            raise breach("tool_names_unique", subject.service).failure()
        names[tool.name] = tool
        out.append(tool if tool.kind else _one(tool, draft))
    if not same(out, request.tools):
        draft.change(tools=tuple(out))


def _one(tool: Tool, draft: Draft) -> Tool:
    subject = draft.subject
    if subject.service == "openai":
        given = tool.schema
        if not isinstance(given, dict) or not given:
            return tool
        if given.get("type") != "object" or (subject.is_openais and with_composition(given)):
            given = tool_input(given)
        given = with_items(given)
        return tool if given is tool.schema else replace(tool, schema=given)
    given = modern(tool.schema) if subject.maker == "claude" and isinstance(tool.schema, dict) else tool.schema
    schema = tool_input(given, plain=subject.maker == "nova")
    strict = tool.strict
    if strict and not subject.structured:
        strict = None
        draft.note("tools.strict=not sent: the model's service has no strict tools")
    elif strict and subject.maker == "claude" and refused_keyword(schema) is not None:
        try:
            schema, _ = adapted(schema)
            draft.note("tools.strict=schemas closed for the service")
        except Unsayable:
            strict = None
            draft.note("tools.strict=not sent: a schema allows what strict tools cannot")
    description = tool.description if tool.description and not tool.description.isspace() else None
    if schema is tool.schema and strict == tool.strict and description == tool.description:
        return tool
    return replace(tool, schema=schema, strict=strict, description=description)


def whole(draft: Draft) -> None:
    """Asks for a whole answer where a model does not call tools in a streamed one; the client's stream is told from
    it."""
    if draft.request.stream and not draft.native and not draft.subject.streams_tools:
        draft.change(stream=False)
        draft.note("stream=told from a whole answer: the model calls no tools in a stream")


def chosen(draft: Draft) -> None:
    """A tool that must be called, on models that cannot be made to."""
    request = draft.request
    choice = request.tool_choice
    alone = draft.subject.service == "openai" and _REASONS_ALONE.match(draft.subject.model.rpartition("/")[2])
    if alone and choice is not None and choice.parallel is not None:
        choice = replace(choice, parallel=None)
        draft.change(tool_choice=choice)
        draft.note("parallel_tool_calls=not sent: the model has no such parameter")
    if choice is None or choice.kind not in ("any", "tool") or not request.tools:
        return
    if draft.subject.forces_tools or draft.subject.service == "openai":
        return
    what = f"the tool {choice.name}" if choice.kind == "tool" else "one of the tools"
    draft.change(tool_choice=ToolChoice("auto", None, choice.parallel) if choice.parallel is not None else None)
    draft.say(MUST_CALL.format(what=what))
    draft.note("tool_choice=asked for in words: the model cannot be made to call a tool")
