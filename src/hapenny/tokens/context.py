"""Finding retrieved context in a request: document blocks, tagged passages in a turn's text, search results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from hapenny.core.messages import Block, Document, Message, Text, ToolResult, ToolUse
from hapenny.tokens.window import is_human

_ELEMENTS = frozenset(
    ("document", "doc", "passage", "chunk", "source", "context", "search_result", "snippet", "article")
)
_BODIES = frozenset(("document_content", "content", "text", "body"))
_TITLES = frozenset(("title", "source", "name"))
_TAG = re.compile(r"<([a-z_]{3,16})\b([^<>]{0,400})>")
_TITLE = re.compile(r"\b(?:title|name|source)=(?:\"([^\"]{0,300})\"|'([^']{0,300})')")
_ANY_TAG = re.compile(r"</?[\w-]{1,40}[^<>]{0,400}>")


class Piece(msgspec.Struct, frozen=True):
    """One passage of a turn: where it stands, its title and its text.

    `span` is the text's place inside the block's text and `whole` that of the element around it; None for a document
    or tool result that is a passage by itself.
    """

    message: int
    block: int
    title: str
    text: str
    span: tuple[int, int] | None = None
    whole: tuple[int, int] | None = None


class Turn(msgspec.Struct, frozen=True):
    """The passages of one human turn and what it asks."""

    question: str
    pieces: tuple[Piece, ...]


def _any_carries(messages: Sequence[Message], tools: Sequence[str]) -> bool:
    for message in messages:
        for block in message.content:
            if _may_carry(block, tools):
                return True
    return False


def context_turns(messages: Sequence[Message], tools: Sequence[str] = ()) -> list[Turn]:
    """All turns that carry passages. A document with the provider's own citations is left alone."""
    if not _any_carries(messages, tools):
        return []
    searches = {
        block.id
        for message in messages
        for block in message.content
        if isinstance(block, ToolUse) and block.name in tools
    }
    found: list[Turn] = []
    question = ""
    for place, message in enumerate(messages):
        pieces: list[Piece] = []
        if is_human(message):
            alone: list[str] = []
            around: list[str] = []
            for number, block in enumerate(message.content):
                if isinstance(block, Document) and block.text and not block.citations:
                    pieces.append(Piece(place, number, block.name or "", block.text))
                elif isinstance(block, Text) and not block.citations:
                    inside = _elements(place, number, block.text)
                    pieces += inside
                    (around if inside else alone).append(_outside(block.text, inside))
            # What stands in a block of its own is the question; beside passages stand instructions about them.
            question = "\n".join(filter(None, alone)) or "\n".join(around)
        for number, block in enumerate(message.content):
            if isinstance(block, ToolResult) and block.id in searches and not block.error and len(block.content) == 1:
                inner = block.content[0]
                if isinstance(inner, Text):
                    pieces.append(Piece(place, number, "", inner.text))
        if pieces and question.strip():
            found.append(Turn(question.strip(), tuple(pieces)))
    return found


def _may_carry(block: Block, tools: Sequence[str]) -> bool:
    """Whether a block can hold passages: told at a glance, since most requests have none."""
    if isinstance(block, Text):
        return "</" in block.text
    return isinstance(block, Document) or (isinstance(block, ToolUse) and block.name in tools)


def _elements(message: int, block: int, text: str) -> list[Piece]:
    if "</" not in text:
        return []
    pieces = []
    for element in _tags(text, _ELEMENTS, 0, len(text)):
        body = next(_tags(text, _BODIES, element.start, element.end), element)
        start, end = body.start, body.end
        # Line breaks beside the tags are layout, not passage.
        start += len(text[start:end]) - len(text[start:end].lstrip("\n"))
        end -= len(text[start:end]) - len(text[start:end].rstrip("\n"))
        named = _TITLE.search(element.attributes)
        if named is not None:
            title = named.group(1) or named.group(2) or ""
        else:
            inner = next(_tags(text, _TITLES, element.start, element.end), None)
            title = text[inner.start : inner.end] if inner is not None and inner.end - inner.start <= 300 else ""
        pieces.append(
            Piece(message, block, title.strip(), text[start:end], (start, end), (element.opens, element.closes))
        )
    return pieces


class _Element(NamedTuple):
    attributes: str
    opens: int
    start: int
    end: int
    closes: int


def _tags(text: str, names: frozenset[str], start: int, end: int) -> Iterator[_Element]:
    """Outermost elements of these names, in linear time whatever is left open."""
    unclosed: set[str] = set()
    place = start
    while (match := _TAG.search(text, place, end)) is not None:
        name = match.group(1)
        place = match.end()
        if name not in names or name in unclosed:
            continue
        closing = f"</{name}>"
        found = text.find(closing, place, end)
        if found < 0:
            unclosed.add(name)
            continue
        closes = found + len(closing)
        while closes < end and text[closes].isspace():
            closes += 1
        yield _Element(match.group(2), match.start(), place, found, closes)
        place = closes


def _outside(text: str, pieces: Sequence[Piece]) -> str:
    """A text without its passages: what follows them, if that can be a question, else all of it."""
    parts = []
    place = 0
    for piece in pieces:
        assert piece.whole is not None
        parts.append(text[place : piece.whole[0]])
        place = piece.whole[1]
    behind = _ANY_TAG.sub(" ", text[place:]).strip()
    if not pieces or len(behind) >= 8:
        return behind
    return _ANY_TAG.sub(" ", " ".join([*parts, behind])).strip()


def rewrite(
    messages: Sequence[Message], kept: Sequence[tuple[Piece, str]], order: Sequence[Piece] = ()
) -> tuple[Message, ...]:
    """The messages with each piece's text replaced; an empty text takes the element, document or text away.

    `order`: tagged passages of one text that are all in it and in `kept` are sent in this order, each with its own tags
    and so with its own number.
    """
    ranks = {piece: rank for rank, piece in enumerate(order)}
    by_block: dict[tuple[int, int], list[tuple[Piece, str]]] = {}
    for piece, text in kept:
        by_block.setdefault((piece.message, piece.block), []).append((piece, text))
    touched = {message for message, _ in by_block}
    result: list[Message] = []
    for place, message in enumerate(messages):
        if place not in touched:
            result.append(message)
            continue
        content: list[Block] = []
        for number, block in enumerate(message.content):
            changes = by_block.get((place, number))
            content += [block] if changes is None else _changed(block, changes, ranks)
        result.append(replace(message, content=tuple(content)) if content else message)
    return tuple(result)


def _changed(block: Block, changes: list[tuple[Piece, str]], ranks: dict[Piece, int]) -> list[Block]:
    piece, text = changes[0]
    if isinstance(block, Document):
        return [replace(block, text=text)] if text else []
    if isinstance(block, ToolResult):
        inner = block.content[0]
        assert isinstance(inner, Text)
        return [replace(block, content=(replace(inner, text=text or "(nothing relevant)"),))]
    assert isinstance(block, Text)
    parts: list[str] = []
    place = 0
    changes = sorted(changes, key=lambda change: change[0].span or (0, 0))
    bodies = [_element(block.text, piece, text) for piece, text in changes if text]
    stays = [piece for piece, text in changes if text]
    if all(piece in ranks for piece in stays):
        bodies = [bodies[index] for index in sorted(range(len(stays)), key=lambda index: ranks[stays[index]])]
    left = iter(bodies)
    for piece, text in changes:
        assert piece.whole is not None
        parts.append(block.text[place : piece.whole[0]])
        place = piece.whole[1]
        if text:
            whole = block.text[piece.whole[0] : place]
            parts += [next(left), whole[len(whole.rstrip()) :]]
    parts.append(block.text[place:])
    return [replace(block, text="".join(parts))]


def _element(block: str, piece: Piece, text: str) -> str:
    """The element with its tags around another text, without the white space behind it."""
    assert piece.span is not None
    assert piece.whole is not None
    return (block[piece.whole[0] : piece.span[0]] + text + block[piece.span[1] : piece.whole[1]]).rstrip()
