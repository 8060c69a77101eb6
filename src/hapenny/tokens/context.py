"""Finding retrieved context in a request: document blocks, passages in a turn's text or the system prompt (in tags,
under a label or heading, numbered), results of tools that search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from hapenny.core.messages import Block, Document, Message, Text, ToolResult, ToolUse
from hapenny.core.patterns import pattern
from hapenny.core.questions import ASKS, LONGEST_LABEL, question_of
from hapenny.tokens.labelled import LEAST, labelled
from hapenny.tokens.window import is_human

SYSTEM = -1
"""The place of the system prompt among messages."""
_SEARCHES = frozenset(
    ("search", "searches", "retrieve", "retrieval", "retriever", "rag", "lookup", "knowledge", "kb", "docs",
     "documents", "wiki", "faq", "passages")
)  # fmt: skip
"""Words in a tool's name that say its results are retrieved text."""
_NAME_WORDS = pattern(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_ELEMENTS = frozenset(
    ("document", "doc", "passage", "chunk", "source", "context", "search_result", "snippet", "article")
)
_BODIES = frozenset(("document_content", "content", "text", "body"))
_TITLES = frozenset(("title", "source", "name"))
_TAG = pattern(r"<([a-z_]{3,16})\b([^<>]{0,400})>")
_TITLE = pattern(r"\b(?:title|name|source)=(?:\"([^\"]{0,300})\"|'([^']{0,300})')")
_ANY_TAG = pattern(r"</?[\w-]{1,40}[^<>]{0,400}>")


class Piece(msgspec.Struct, frozen=True):
    """One passage of a turn: where it stands, its title and its text.

    `span` is the text's place inside the block's text and `whole` that of the element around it; None for a document
    or tool result that is a passage by itself. `message` is `SYSTEM` in the system prompt.
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


def searching(tool: str, tools: Sequence[str]) -> bool:
    """Whether a tool's results are retrieved text: it is one of `tools`, or its name says so."""
    return tool in tools or any(word.lower() in _SEARCHES for word in _NAME_WORDS.findall(tool[:200]))


def context_turns(messages: Sequence[Message], tools: Sequence[str] = (), system: Sequence[Block] = ()) -> list[Turn]:
    """All turns that carry passages. A document with the provider's own citations is left alone.

    Args:
        messages: of the request.
        tools: whose results are retrieved text, beside those whose name says so (`searching`).
        system: the system prompt; its passages belong to the last question, and come as the first turn.
    """
    may = any(_may_carry(block, tools) for message in messages for block in message.content)
    if not may and not any(_may_carry(block, tools) for block in system):
        return []
    searches = {
        block.id
        for message in messages
        for block in message.content
        if isinstance(block, ToolUse) and searching(block.name, tools)
    }
    turns: list[Turn] = []
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
                    inside, outside = _inside(place, number, block.text)
                    pieces += inside
                    (around if inside else alone).append(outside)
            # What stands in a block of its own is the question; beside passages stand instructions about them.
            question = "\n".join(filter(None, alone)) or "\n".join(around)
        for number, block in enumerate(message.content):
            if isinstance(block, ToolResult) and block.id in searches and not block.error and len(block.content) == 1:
                inner = block.content[0]
                if isinstance(inner, Text):
                    pieces.append(Piece(place, number, "", inner.text))
        if pieces and question.strip():
            turns.append(Turn(question.strip(), tuple(pieces)))
    given = [
        piece
        for number, block in enumerate(system)
        if isinstance(block, Text) and not block.checkpoint
        for piece in _inside(SYSTEM, number, block.text)[0]
    ]
    if given and question.strip():
        turns.insert(0, Turn(question.strip(), tuple(given)))
    return turns


def _inside(place: int, number: int, text: str) -> tuple[list[Piece], str]:
    """The passages of a text, and what it asks beside them."""
    pieces = _elements(place, number, text)
    if pieces:
        outside = _outside(text, pieces)
        label = ASKS.match(outside[:LONGEST_LABEL])
        return pieces, outside[label.end() :].strip() if label is not None else outside
    spans = labelled(text) if place != SYSTEM else labelled(text + _ASKED_ELSEWHERE)
    pieces = [
        Piece(
            place,
            number,
            span.title,
            text[span.start : span.end],
            (span.start, span.end),
            (span.opens, min(span.closes, len(text))),
        )
        for span in spans
        if span.end <= len(text)
    ]
    return pieces, question_of(text) if pieces else _outside(text, [])


_ASKED_ELSEWHERE = "\n\nQuestion: ?"
"""The question of passages in the system prompt stands in the last turn."""


def _may_carry(block: Block, tools: Sequence[str]) -> bool:
    """Whether a block can hold passages: told at a glance, since most requests have none."""
    if isinstance(block, Text):
        return len(block.text) >= LEAST or "</" in block.text
    return isinstance(block, Document) or (isinstance(block, ToolUse) and searching(block.name, tools))


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
        close = text.find(closing, place, end)
        if close < 0:
            unclosed.add(name)
            continue
        closes = close + len(closing)
        while closes < end and text[closes].isspace():
            closes += 1
        yield _Element(match.group(2), match.start(), place, close, closes)
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
    changes, ranks = _by_place(kept), _ranks(order)
    result: list[Message] = []
    for place, message in enumerate(messages):
        content = _rewritten(message.content, changes[place], ranks) if place in changes else ()
        result.append(replace(message, content=content) if content else message)
    return tuple(result)


def rewrite_system(
    system: Sequence[Block], kept: Sequence[tuple[Piece, str]], order: Sequence[Piece] = ()
) -> tuple[Block, ...]:
    """The same for the system prompt."""
    changes = _by_place(kept).get(SYSTEM, {})
    return _rewritten(system, changes, _ranks(order)) or tuple(system)


def _by_place(kept: Sequence[tuple[Piece, str]]) -> dict[int, dict[int, list[tuple[Piece, str]]]]:
    """Changes by message and block."""
    places: dict[int, dict[int, list[tuple[Piece, str]]]] = {}
    for piece, text in kept:
        places.setdefault(piece.message, {}).setdefault(piece.block, []).append((piece, text))
    return places


def _ranks(order: Sequence[Piece]) -> dict[Piece, int]:
    return {piece: rank for rank, piece in enumerate(order)}


def _rewritten(
    content: Sequence[Block], by_block: dict[int, list[tuple[Piece, str]]], ranks: dict[Piece, int]
) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for number, block in enumerate(content):
        changes = by_block.get(number)
        blocks += [block] if changes is None else _changed(block, changes, ranks)
    return tuple(blocks)


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
    whole = "".join(parts)
    return [replace(block, text=whole)] if whole.strip() else []


def _element(block: str, piece: Piece, text: str) -> str:
    """The element with its tags around another text, without the white space behind it."""
    assert piece.span is not None
    assert piece.whole is not None
    return (block[piece.whole[0] : piece.span[0]] + text + block[piece.span[1] : piece.whole[1]]).rstrip()
