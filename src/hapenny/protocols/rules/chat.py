"""What OpenAI, and servers that speak its chat completions, refuse of a body that the client's types allow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hapenny.protocols.rules.common import breach, stop_sequences
from hapenny.protocols.rules.schemas import lacks_items, with_composition
from hapenny.protocols.rules.subject import Subject
from hapenny.protocols.rules.table import OPENAI, Breach

USER = 64
"""Letters of `user`."""
ID = 40
"""Letters of a tool call's id."""
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")


def check(body: dict[str, Any], subject: Subject) -> Iterator[Breach]:
    """The rules that a chat completions `body` for `subject` breaks."""
    user = body.get("user")
    if isinstance(user, str) and len(user) > USER:
        yield breach("user_id", OPENAI, length=len(user))
    yield from stop_sequences(OPENAI, body.get("stop"), subject)
    tools = body.get("tools") or ()
    functions = any(tool.get("type") == "function" for tool in tools)
    if functions and subject.calls_thoughtless(body.get("reasoning_effort")):
        yield breach("effort_with_tools", OPENAI, value=subject.model)
    for n, tool in enumerate(tools):
        function = tool.get("function") if tool.get("type") == "function" else None
        if not isinstance(function, dict):
            continue
        if not _NAME.fullmatch(str(function.get("name"))):
            yield breach("tool_names", OPENAI, path=f"tools[{n}].function.name")
        schema = function.get("parameters")
        if isinstance(schema, dict) and schema and schema.get("type") != "object":
            yield breach("tool_schema", OPENAI, value=function.get("name"))
        elif isinstance(schema, dict) and subject.is_openais:
            if with_composition(schema):
                yield breach("tool_schema_top", OPENAI, value=function.get("name"))
            if lacks_items(schema):
                yield breach("array_items", OPENAI, value=function.get("name"))
    yield from _history(body.get("messages") or [], subject)


def _history(messages: list[Any], subject: Subject) -> Iterator[Breach]:
    waiting: Counter[str] = Counter()
    for i, turn in enumerate(messages):
        role = turn.get("role")
        if role == "developer" and not subject.hears_developers:
            yield breach("developer_role", OPENAI, path=f"messages[{i}].role")
        if role == "tool":
            id_ = str(turn.get("tool_call_id"))
            if waiting[id_]:
                waiting[id_] -= 1
            else:
                yield breach("tool_orphans", OPENAI)
            content = turn.get("content")
            if isinstance(content, list) and any(part.get("type") == "image_url" for part in content):
                yield breach("image_in_tool_result", OPENAI, path=f"messages[{i}]")
            continue
        if left := ", ".join(waiting.elements()):
            yield breach("tool_pairs", OPENAI, ids=left)
        waiting = Counter()
        for j, call in enumerate(turn.get("tool_calls") or ()):
            if call.get("type", "function") != "function":
                continue
            id_ = str(call.get("id"))
            waiting[id_] += 1
            if subject.maker == "mistral":
                if not _SHORT_ID.fullmatch(id_):
                    yield breach("tool_ids_of_mistral", OPENAI, value=id_[:80])
            elif len(id_) > ID:
                path = f"messages[{i}].tool_calls[{j}].id"
                yield breach("tool_ids", OPENAI, path=path, length=len(id_))
    if left := ", ".join(waiting.elements()):
        yield breach("tool_pairs", OPENAI, ids=left)
