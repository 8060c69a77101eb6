"""Why long texts of a request are not pruned: what `hapenny tokens explain` says where no passages were found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hapenny.core.messages import Block, Document, Request, Text, ToolResult, ToolUse
from hapenny.tokens.context import SYSTEM, Turn, searching

LONG = 1_600
"""Characters from which a text is worth a word."""
_UNMARKED = (
    "no tags, label, headings or numbers tell passages from the rest: put each between <document> and </document>, or "
    "write `Context:` before them and `Question:` behind"
)
_CITED = "a document that the provider cites itself is left whole"
_CACHED = "text before a cache point of the client's is left as it is"
_CONVERSATION = (
    "passages in the system prompt of a conversation stay as they are: what comes again before each turn is read from "
    "the provider's prompt cache; put them into the turn that asks"
)


def unfound(request: Request, turns: Sequence[Turn], tools: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Long texts in which no passage was found, each with the reason."""
    places = {(piece.message, piece.block) for turn in turns for piece in turn.pieces}
    for number, block in enumerate(request.system):
        if isinstance(block, Text) and len(block.text) >= LONG:
            if block.checkpoint:
                yield block.text, _CACHED
            elif (SYSTEM, number) not in places:
                yield block.text, _UNMARKED
            elif any(message.role == "assistant" for message in request.messages):
                yield block.text, _CONVERSATION
    names = {
        block.id: block.name for message in request.messages for block in message.content if isinstance(block, ToolUse)
    }
    for place, message in enumerate(request.messages):
        for number, block in enumerate(message.content):
            if (place, number) not in places and message.role != "assistant":
                yield from _why(block, names, tools)


def _why(block: Block, names: dict[str, str], tools: Sequence[str]) -> Iterator[tuple[str, str]]:
    if isinstance(block, Text) and len(block.text) >= LONG:
        yield block.text, _UNMARKED
    elif isinstance(block, Document) and block.text and block.citations:
        yield block.text, _CITED
    elif isinstance(block, ToolResult):
        text = "\n".join(inner.text for inner in block.content if isinstance(inner, Text))
        name = names.get(block.id, "")
        if len(text) >= LONG and not searching(name, tools):
            yield text, f"whether results of the tool {name!r} are retrieved text is not known: stages.prune.tools"
