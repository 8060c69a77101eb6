"""Tools in namespaces, and tools that come with the input, as Codex sends them by Responses: functions elsewhere.

Theory of operation. A `namespace` holds functions; a call of one names both. Other services know one list of names, so
each function is sent under both names joined, earlier calls likewise, and a call in the answer gets its namespace back.
An item `additional_tools` of the input is a tool list that came later; its tools join the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from hapenny.core.answer import EventTransform
from hapenny.core.events import BlockStarted, Event
from hapenny.core.messages import Block, Message, Opaque, Tool, ToolUse
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.unchanged import same

KIND = "namespace"
LATER = "additional_tools"
_ITEM = "item"
_OWNER = "responses"


def flattened(draft: Draft) -> EventTransform | None:
    """Gives the draft plain functions; what gives calls their namespace back."""
    request = draft.request
    if not draft.foreign or request.protocol != _OWNER:
        return None
    blocks = [block for message in request.messages for block in message.content]
    later = [block.payload for block in blocks if isinstance(block, Opaque) and _is_list(block)]
    if not later and not any(tool.kind in (KIND, "web_search") for tool in request.tools):
        return None
    listed = [*request.tools]
    for item in later:
        listed += [_tool(one) for one in item.get("tools") or () if isinstance(one, dict)]
    names: dict[str, tuple[str, str]] = {}
    tools: list[Tool] = []
    for tool in listed:
        if tool.kind == KIND:
            tools += _inside(tool, names)
        elif tool.kind == "web_search" and tool.extras.get("external_web_access") is False:
            # What Codex sends unasked: OpenAI's own index, without which the model is none the worse.
            draft.note("tools=web_search of OpenAI's index left out: no other provider has it")
        else:
            tools.append(tool)
    joined = {pair: name for name, pair in names.items()}
    messages = tuple([turn for message in request.messages if (turn := _turn(message, joined)) is not None])
    draft.change(tools=tuple(tools), messages=messages)
    if not names:
        return None
    draft.note(f"tools={len(names)} tools of namespaces sent as functions")
    return Spaced(names)


def _is_list(block: Block) -> bool:
    return isinstance(block, Opaque) and isinstance(block.payload, dict) and block.payload.get("type") == LATER


def _tool(given: Mapping[str, Any]) -> Tool:
    kind = str(given.get("type") or "function")
    if kind != "function":
        return Tool(str(given.get("name") or kind), kind=kind, extras=dict(given))
    description = given.get("description")
    return Tool(
        str(given.get("name")), description if isinstance(description, str) else None, given.get("parameters"),
        given.get("strict") if isinstance(given.get("strict"), bool) else None,
    )  # fmt: skip


def _inside(space: Tool, names: dict[str, tuple[str, str]]) -> Iterator[Tool]:
    about = space.extras.get("description")
    for given in space.extras.get("tools") or ():
        if not isinstance(given, dict):
            continue
        tool = _tool(given)
        name = f"{space.name}__{tool.name}"
        names[name] = (space.name, tool.name)
        words = [text for text in (tool.description, about) if isinstance(text, str) and text]
        yield replace(tool, name=name, description=words[0] if words else None)


def _turn(message: Message, joined: Mapping[tuple[str, str], str]) -> Message | None:
    """A turn whose calls have the joined names; None for one that was a list of tools alone."""
    content: list[Block] = []
    for block in message.content:
        if _is_list(block):
            continue
        if isinstance(block, ToolUse):
            item = block.extras.get(_ITEM)
            space = item.get(KIND) if isinstance(item, dict) else None
            if isinstance(space, str):
                block = replace(block, name=joined.get((space, block.name), f"{space}__{block.name}"))
        content.append(block)
    if message.content and not content:
        return None
    return message if same(content, message.content) else replace(message, content=tuple(content))


class Spaced(EventTransform):
    """Tells calls by their own names, each with its namespace."""

    def __init__(self, names: Mapping[str, tuple[str, str]]) -> None:
        self._names = names

    def one(self, event: Event) -> Sequence[Event]:
        """Only the start of a call is changed."""
        if type(event) is not BlockStarted or event.kind != "tool_use" or event.name not in self._names:
            return (event,)
        space, name = self._names[event.name]
        return (replace(event, name=name, payload={_OWNER: {_ITEM: {KIND: space}}}, raw=None),)
