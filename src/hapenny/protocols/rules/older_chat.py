"""What chat completions and Responses say in words that no other dialect has: functions, a refusal in place of a text,
and a choice among some of the tools.

OpenAI and servers like it read them as they are; for everybody else they become tools, calls, results and text. The way
back of functions is in the writers of chat completions, which know that the client sent some.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hapenny.core.messages import Message, Text, Tool, ToolChoice, ToolUse
from hapenny.protocols.rules.draft import OPENAIS, Draft
from hapenny.protocols.rules.unchanged import same


def translated(draft: Draft) -> None:
    """Says functions as tools, refusals as text, and offers the allowed tools alone."""
    request = draft.request
    if request.protocol not in OPENAIS:
        return
    if any(message.extras for message in request.messages):
        messages = tuple([_turn(message) for message in request.messages])
        if not same(messages, request.messages):
            draft.change(messages=messages)
    if request.extras:
        _functions(draft)
        _allowed(draft)


def _turn(message: Message) -> Message:
    extras = dict(message.extras)
    content = message.content
    called = extras.pop("function_call", None)
    if message.role == "assistant" and isinstance(called, dict) and isinstance(name := called.get("name"), str):
        arguments = called.get("arguments")
        content = (*content, ToolUse(name, name, arguments if isinstance(arguments, str) else "{}"))
    elif message.role == "tool" and extras.get("role") == "function":
        extras = {key: value for key, value in extras.items() if key not in ("role", "name")}
    elif message.role == "assistant" and isinstance(refusal := extras.get("refusal"), str) and refusal:
        del extras["refusal"]
        if not any(isinstance(block, Text) and block.text == refusal for block in content):
            content = (*content, Text(refusal))
    else:
        return message
    return replace(message, content=content, extras=extras)


def _functions(draft: Draft) -> None:
    request = draft.request
    given = request.extras.get("functions")
    if not isinstance(given, list) or request.tools:
        return
    tools = tuple(
        [
            Tool(one["name"], _text(one.get("description")), one.get("parameters"))
            for one in given
            if isinstance(one, dict) and isinstance(one.get("name"), str)
        ]
    )
    wanted = request.extras.get("function_call")
    choice = ToolChoice(parallel=False)
    if wanted == "none":
        choice = ToolChoice("none")
    elif isinstance(wanted, dict) and isinstance(wanted.get("name"), str):
        choice = ToolChoice("tool", wanted["name"], False)
    extras = {key: value for key, value in request.extras.items() if key not in ("functions", "function_call")}
    draft.change(tools=tools, tool_choice=choice if tools else None, extras=extras)
    draft.note("functions=sent as tools")


def _allowed(draft: Draft) -> None:
    """`allowed_tools`: chat completions nest it, Responses do not."""
    request = draft.request
    choice = request.extras.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return
    inner = choice.get("allowed_tools")
    fields: dict[str, Any] = inner if isinstance(inner, dict) else choice
    names = {_name(tool) for tool in fields.get("tools") or () if isinstance(tool, dict)}
    kept = tuple([tool for tool in request.tools if tool.name in names])
    if not kept:
        return
    parallel = request.tool_choice.parallel if request.tool_choice is not None else None
    kind = "any" if fields.get("mode") == "required" else "auto"
    extras = {key: value for key, value in request.extras.items() if key != "tool_choice"}
    draft.change(tools=kept, tool_choice=ToolChoice(kind, None, parallel), extras=extras)  # type: ignore[arg-type]
    draft.note(f"tool_choice=allowed_tools: {len(kept)} of {len(request.tools)} tools sent")


def _name(tool: dict[str, Any]) -> Any:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else tool.get("name")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
