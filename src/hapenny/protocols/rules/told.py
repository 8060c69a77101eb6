"""Blocks that one dialect alone has, told to a model of another one in words: search results that the application
found, tools that a search loaded, what a provider's own tools were asked and answered, and summaries of what was said.

Such blocks stay in a conversation when it goes on with another model (a fallback, a cheaper tier). A block whose words
cannot be read is left as it is, and refused by the composer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from hapenny.core.messages import Block, Opaque, Text, ToolResult
from hapenny.protocols.fields import encode
from hapenny.protocols.rules.draft import Draft
from hapenny.protocols.rules.unchanged import mapped, same

_SEALED = ("encrypted_content", "encrypted_index", "encrypted_stdout", "cache_control", "image_url")
_UNTOLD = frozenset(("type", "id", "call_id", "status", "container_id", "fingerprint", "acknowledged_safety_checks"))
"""Fields of an item of Responses that say nothing to a model."""


def in_words(draft: Draft) -> None:
    """Turns blocks of another dialect into text."""
    changed = 0

    def one(block: Block) -> Block:
        nonlocal changed
        now = _block(block)
        changed += now is not block
        return now

    system = tuple([one(block) for block in draft.request.system])
    messages = mapped(draft.request.messages, one)
    if changed:
        draft.change(system=system, messages=messages)
        draft.note(f"content={changed} blocks of the client's dialect told in words")


def _block(block: Block) -> Block:
    if isinstance(block, ToolResult):
        content = tuple([_block(inner) for inner in block.content])
        if not same(content, block.content):
            return replace(block, content=content)
    elif isinstance(block, Opaque) and isinstance(block.payload, dict):
        words = _words(block.payload)
        if words:
            return Text(words, block.checkpoint)
    return block


def _words(payload: Mapping[str, Any]) -> str:
    kind = payload.get("type")
    if isinstance(kind, str) and kind.endswith(_ITEMS):
        return _of_responses(kind, payload)
    if kind == "search_result":
        return _found(payload)
    if kind is None:
        return _of_converse(payload)
    if kind == "tool_reference":
        return f"(The tool {payload.get('tool_name')} can be called now.)"
    if kind == "server_tool_use":
        return f"(Called {payload.get('name')} with {encode(payload.get('input') or {}).decode()})"
    if kind == "mcp_tool_use":
        return f"(Called {payload.get('name')} with {encode(payload.get('input') or {}).decode()})"
    if kind == "compaction" and isinstance(summary := payload.get("content"), str):
        return f"(What was said before, in short:\n{summary})"
    if isinstance(kind, str) and kind.endswith("_tool_result") and "tool_use_id" in payload:
        return f"(It answered: {encode(_opened(payload.get('content'))).decode()})"
    return ""


_ITEMS = ("_call", "_call_output", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response")
"""How the types of items end that tell of OpenAI's own tools."""


def _of_responses(kind: str, item: Mapping[str, Any]) -> str:
    """An item of a Responses conversation: what a tool that OpenAI runs was asked, and what it found. Pictures that a
    tool made or saw are left out: as text they would be nothing but letters."""
    if kind == "mcp_list_tools":
        names = [str(tool.get("name")) for tool in item.get("tools") or () if isinstance(tool, dict)]
        return f"(The server {item.get('server_label')} has the tools {', '.join(names)}.)"
    hidden = _UNTOLD if kind != "image_generation_call" else _UNTOLD | {"result"}
    kept = {key: value for key, value in item.items() if key not in hidden and value is not None}
    if kind.endswith("_output"):
        return f"(It answered: {encode(_opened(kept.get('output', kept))).decode()})"
    return f"({kind.removesuffix('_call')}: {encode(_opened(kept)).decode()})"


def _of_converse(payload: Mapping[str, Any]) -> str:
    """Converse's own blocks: what an application found, text that is marked for a guardrail, text with its sources."""
    if isinstance(inner := payload.get("searchResult"), dict):
        return _found(inner)
    if isinstance(inner := payload.get("guardContent"), dict):
        text = inner.get("text")
        return str(text.get("text") or "") if isinstance(text, dict) else ""
    if isinstance(inner := payload.get("citationsContent"), dict):
        parts = inner.get("content") or ()
        return "".join([str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part])
    return ""


def _found(result: Mapping[str, Any]) -> str:
    texts = [
        part["text"]
        for part in result.get("content") or ()
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    ]
    if not texts:
        return ""
    head = [f"Title: {result['title']}"] if result.get("title") else []
    if result.get("source"):
        head.append(f"Source: {result['source']}")
    return "\n".join([*head, *texts])


def _opened(value: Any) -> Any:
    """Without what only the provider itself can read."""
    if isinstance(value, dict):
        return {key: _opened(inner) for key, inner in value.items() if key not in _SEALED}
    return [_opened(inner) for inner in value] if isinstance(value, list) else value
