"""What a translation leaves out of turns, blocks and tools because the other dialect has no word for it, by name."""

from __future__ import annotations

from hapenny.core.messages import Block, Document, Image, Text, ToolResult
from hapenny.protocols.rules.draft import OPENAIS, Draft

_OURS = frozenset(("role", "message", "s3Location", "refusal", "type", "item", "place"))
"""Keys by which our codecs mark things (and `refusal`, which OpenAI's clients send back as null or as the text)."""


def told(draft: Draft) -> None:
    """Notes the names of fields that only the client's dialect has. Content is never left out here."""
    request = draft.request
    names: dict[str, None] = {}
    for message in request.messages:
        if message.name:
            names["messages.name"] = None
        if message.extras:
            names.update((f"messages.{key}", None) for key in message.extras if key not in _OURS)
        for block in message.content:
            if type(block) is not Text or block.extras or block.citations:
                _of(block, draft, names)
    for block in request.system:
        _of(block, draft, names)
    for tool in request.tools:
        if tool.extras and not tool.kind:
            names.update((f"tools.{key}", None) for key in tool.extras)
    if request.store is not None and request.protocol in OPENAIS:
        names["store"] = None
    if names:
        draft.note("not sent=" + ",".join(names))


def _of(block: Block, draft: Draft, names: dict[str, None]) -> None:
    extras = getattr(block, "extras", None)
    if extras:
        names.update((f"content.{key}", None) for key in extras if key not in _OURS)
    match block:
        case Text():
            if block.citations:
                names["content.citations"] = None
        case ToolResult():
            for inner in block.content:
                _of(inner, draft, names)
        case Image():
            if block.detail is not None:
                names["content.detail"] = None
        case Document() if draft.subject.service == "openai":
            if block.citations:
                names["content.citations"] = None
            if block.context is not None:
                names["content.context"] = None
