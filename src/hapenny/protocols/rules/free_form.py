"""OpenAI's free-form (`custom`) tools on models that have none: functions with one text, told as free-form again.

Theory of operation. A free-form tool takes text, perhaps of a grammar, where a function takes JSON. Other services are
given a function of the same name whose one argument `input` is that text; earlier calls in the conversation are
rewritten alike. In the answer a call of such a function is held until it is whole and handed on as a free-form call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from hapenny.core.answer import EventTransform
from hapenny.core.errors import invalid
from hapenny.core.events import BlockStarted, BlockStopped, Event, ToolCallDelta
from hapenny.core.messages import Block, Message, Opaque, Protocol, Text, Tool, ToolChoice, ToolResult, ToolUse
from hapenny.protocols.fields import encode
from hapenny.protocols.rules.draft import OPENAIS, Draft
from hapenny.protocols.rules.unchanged import same

KIND = "custom"
_PLACE = {"place": "item"}
"""What marks an item of its own in a Responses answer."""


def functions(draft: Draft) -> EventTransform | None:
    """Gives the draft functions in place of its free-form tools; what tells their calls as the client knows them.

    Raises:
        Failure: for tools that OpenAI itself runs.
    """
    request = draft.request
    if not draft.foreign or request.protocol not in OPENAIS:
        return None
    if not any(tool.kind for tool in request.tools):  # a summary asked for without tools still tells of their calls
        earlier = tuple([_told(message) for message in request.messages])
        if not same(earlier, request.messages):
            draft.change(messages=earlier)
        return None
    hosted = next((tool.name for tool in request.tools if tool.kind not in ("", KIND)), None)
    if hosted is not None:
        raise invalid(
            f"{hosted[:80]!r} is a tool that OpenAI runs, and this model's provider has none of that kind.",
            "tools",
            "leave the tool out, or name a model of an OpenAI backend",
        )
    tools, names = [], []
    for tool in request.tools:
        if tool.kind == KIND:
            tool = _function(tool)
            names.append(tool.name)
        tools.append(tool)
    draft.change(tools=tuple(tools), messages=tuple([_told(message) for message in request.messages]))
    chosen = request.extras.get("tool_choice")
    if isinstance(chosen, dict) and chosen.get("type") == KIND:
        inner = chosen.get(KIND)
        name = (inner if isinstance(inner, dict) else chosen).get("name")
        if name in names:
            parallel = request.tool_choice.parallel if request.tool_choice is not None else None
            extras = {key: value for key, value in request.extras.items() if key != "tool_choice"}
            draft.change(tool_choice=ToolChoice("tool", name, parallel), extras=extras)
    draft.note(f"tools={len(names)} free-form tools sent as functions with one text")
    return FreeForm(frozenset(names), request.protocol)


def _function(tool: Tool) -> Tool:
    inner = tool.extras.get(KIND)
    fields: Mapping[str, Any] = inner if isinstance(inner, dict) else tool.extras
    words = [str(fields["description"])] if fields.get("description") else []
    words.append("Put the tool's whole input into `input`, as plain text.")
    form = fields.get("format")
    grammar = form.get("grammar", form) if isinstance(form, dict) else {}
    if isinstance(grammar, dict) and grammar.get("definition"):
        words.append(f"It must follow this grammar ({grammar.get('syntax', 'lark')}):\n{grammar['definition']}")
    schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    return Tool(str(fields.get("name") or tool.name), "\n\n".join(words), schema)


def _told(message: Message) -> Message:
    """A turn with its free-form calls as calls of functions, and what they returned as results."""
    content = tuple([_block(block) for block in message.content])
    if same(content, message.content):
        return message
    role = (
        "tool" if message.role == "user" and all(isinstance(block, ToolResult) for block in content) else message.role
    )
    return replace(message, role=role, content=content)


def _block(block: Block) -> Block:
    if not isinstance(block, Opaque) or not isinstance(block.payload, dict):
        return block
    item = block.payload
    kind, inner = item.get("type"), item.get(KIND)
    if kind == KIND and isinstance(inner, dict):
        return _use(item.get("id"), inner)
    if kind == "custom_tool_call":
        return _use(item.get("call_id"), item)
    if kind == "custom_tool_call_output":
        output = item.get("output")
        parts = output if isinstance(output, list) else [{"text": output}]
        texts = [str(part.get("text") or "") for part in parts if isinstance(part, dict)]
        return ToolResult(str(item.get("call_id")), tuple([Text(text) for text in texts]))
    return block


def _use(id: Any, fields: Mapping[str, Any]) -> ToolUse:
    return ToolUse(str(id), str(fields.get("name")), encode({"input": str(fields.get("input") or "")}).decode())


class FreeForm(EventTransform):
    """Tells calls of some functions as free-form calls, whole."""

    def __init__(self, names: frozenset[str], protocol: Protocol) -> None:
        self._names = names
        self._protocol: Protocol = protocol
        self._held: dict[tuple[int, int], tuple[BlockStarted, list[str]]] = {}

    def one(self, event: Event) -> Sequence[Event]:
        """Calls are held until they are whole."""
        match event:
            case BlockStarted() if event.kind == "tool_use" and event.name in self._names:
                self._held[event.choice, event.block] = (event, [])
                return ()
            case ToolCallDelta() if (event.choice, event.block) in self._held:
                self._held[event.choice, event.block][1].append(event.arguments)
                return ()
            case BlockStopped() if (event.choice, event.block) in self._held:
                begun, pieces = self._held.pop((event.choice, event.block))
                payload = self._call(begun, _text("".join(pieces)))
                started = BlockStarted(begun.block, "other", begun.choice, payload=payload)
                return (started, replace(event, raw=None))
        return (event,)

    def _call(self, begun: BlockStarted, text: str) -> Opaque:
        if self._protocol == "responses":
            item = {"id": f"ctc_{begun.id}", "type": "custom_tool_call", "status": "completed", "call_id": begun.id}
            return Opaque("responses", {**item, "name": begun.name, "input": text}, extras=_PLACE)
        call = {"id": begun.id, "type": KIND, KIND: {"name": begun.name, "input": text}}
        return Opaque("openai", call)


def _text(arguments: str) -> str:
    """The text in a call's arguments; the arguments themselves where the model wrote no such object."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments
