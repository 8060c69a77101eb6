"""Names of a tool's arguments that Claude refuses (`filter[name]`, `$select`): others on the way, the client's on the
way back.

Theory of operation. Claude's service looks at the keys of a tool's top properties alone. A refused key is written with
letters it takes, in the schema and in earlier calls of the tool. In the answer the arguments of such a tool are held
until they are whole, since a key may come in pieces, and told with the names the client knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from hapenny.core.answer import EventTransform
from hapenny.core.events import BlockStarted, BlockStopped, Event, ToolCallDelta
from hapenny.core.messages import Block, Tool, ToolUse
from hapenny.protocols.fields import encode
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.unchanged import mapped

_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_REFUSED = re.compile(r"[^a-zA-Z0-9_.-]")


def refused(schema: Any) -> bool:
    """Whether the top properties of a schema have a key that Claude refuses."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return isinstance(properties, dict) and not all(_KEY.fullmatch(str(key)) for key in properties)


def renamed(draft: Draft) -> EventTransform | None:
    """Gives the draft keys that Claude takes; what tells the client its own."""
    request = draft.request
    if not draft.foreign or draft.subject.maker != "claude":
        return None
    keys: dict[str, dict[str, str]] = {}
    tools: list[Tool] = []
    for tool in request.tools:
        if not tool.kind and refused(tool.schema):
            keys[tool.name] = names = _names(tool.schema["properties"])
            tool = replace(tool, schema=_schema(tool.schema, names))
        tools.append(tool)
    if not keys:
        return None

    def called(block: Block) -> Block:
        if isinstance(block, ToolUse) and block.name in keys:
            return replace(block, arguments=_told(block.arguments, keys[block.name]))
        return block

    draft.change(tools=tuple(tools), messages=mapped(request.messages, called))
    draft.note(f"tools=arguments of {len(keys)} renamed on the way: Claude refuses letters of theirs")
    return Keys({name: {now: then for then, now in names.items()} for name, names in keys.items()})


def _names(properties: Mapping[str, Any]) -> dict[str, str]:
    """What each refused key is called on the way."""
    taken = {key for key in properties if _KEY.fullmatch(key)}
    names: dict[str, str] = {}
    for key in properties:
        if key in taken:
            continue
        plain = _REFUSED.sub("_", key)[:64] or "_"
        name, n = plain, 1
        while name in taken:
            n += 1
            name = f"{plain[:60]}_{n}"
        taken.add(name)
        names[key] = name
    return names


def _schema(schema: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    out = {**schema, "properties": _with(schema["properties"], names)}
    if isinstance(schema.get("required"), list):
        out["required"] = [names.get(key, key) if isinstance(key, str) else key for key in schema["required"]]
    return out


def _with(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in fields.items()}


def _told(arguments: str, names: Mapping[str, str]) -> str:
    """Arguments with other keys; as they are where they are no JSON object."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return arguments
    return encode(_with(value, names)).decode() if isinstance(value, dict) else arguments


class Keys(EventTransform):
    """Tells arguments of some tools by the client's names, whole."""

    def __init__(self, names: Mapping[str, Mapping[str, str]]) -> None:
        self._names = names
        self._held: dict[tuple[int, int], tuple[Mapping[str, str], list[str]]] = {}

    def one(self, event: Event) -> Sequence[Event]:
        """Arguments are held until the call ends."""
        match event:
            case BlockStarted() if event.kind == "tool_use" and event.name in self._names:
                self._held[event.choice, event.block] = (self._names[event.name], [])
            case ToolCallDelta() if (event.choice, event.block) in self._held:
                self._held[event.choice, event.block][1].append(event.arguments)
                return ()
            case BlockStopped() if (event.choice, event.block) in self._held:
                names, pieces = self._held.pop((event.choice, event.block))
                arguments = _told("".join(pieces), names)
                return (ToolCallDelta(arguments, event.block, event.choice), replace(event, raw=None))
        return (event,)
