"""What a request needs of a model, and what a model is known to lack of it: pictures, PDF, tools, a schema, room.

A choice that is ours (`auto`, a cascade, a fallback) never falls on a model that is known to lack what the request
needs. What nobody knows (a model without a card in the catalog) is taken to be there, but for pictures and PDF: those
go to a model that is known to read them where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from hapenny.catalog.card import Card
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Block, Data, Document, Image, Opaque, Request, Text, Thinking, ToolResult, ToolUse

Lacks: TypeAlias = Callable[[Exchange, Target], Sequence[str]]
"""What a target lacks of what the exchange's request needs; empty: nothing that is known."""

UNREAD = " (unknown)"
"""Behind a need of which nobody knows whether the model has it."""

_DOUBTED = frozenset({"vision", "pdf"})
_OPAQUE = {"input_audio": "audio_in", "audio": "audio_in", "video": "video_in", "input_file": "pdf", "file": "pdf"}
_MOST_TOKENS_A_CHARACTER = 2
_LEAST_ANSWER = 256
"""Tokens that a window must leave for an answer."""


def needs(request: Request) -> frozenset[str]:
    """Capabilities, in the catalog's words, without which the request cannot be answered."""
    wanted: set[str] = set()
    if request.tools:
        wanted.add("tools")
    form = request.parameters.format
    if isinstance(form, dict) and form.get("type") == "json_schema":
        wanted.add("json_schema")
    for block in request.system:
        _look(block, wanted)
    for message in request.messages:
        for block in message.content:
            _look(block, wanted)
    return frozenset(wanted)


def lacking(
    card: Card | None, request: Request, tokens: Callable[[], int], wanted: frozenset[str] | None = None
) -> tuple[str, ...]:
    """What a model lacks of what a request needs.

    Args:
        card: the model; None: nobody knows it.
        request: as it would be sent.
        tokens: counts its prompt; asked only where it might not fit.
        wanted: `needs(request)`, where it is known already.
    """
    wanted = needs(request) if wanted is None else wanted
    if card is None:
        return tuple(f"{need}{UNREAD}" for need in sorted(wanted & _DOUBTED))
    lost = [need for need in sorted(wanted) if not _has(card, need)]
    window = card.context_window
    if window is not None and _characters(request) * _MOST_TOKENS_A_CHARACTER > window:
        room = min(request.parameters.max_tokens or _LEAST_ANSWER, _LEAST_ANSWER)
        if tokens() + room > window:
            lost.append("room")
    return tuple(lost)


def first_able(exchange: Exchange, targets: Iterable[Target], lacks: Lacks) -> Target | None:
    """The first target that lacks nothing, else the first of which nothing bad is known; None: each lacks something."""
    doubtful: Target | None = None
    for target in targets:
        lost = lacks(exchange, target)
        if not lost:
            return target
        if doubtful is None and all(need.endswith(UNREAD) for need in lost):
            doubtful = target
    return doubtful


def _has(card: Card, need: str) -> bool:
    # A schema is said as a tool where the service has no form for it.
    return card.has(need) or (need == "json_schema" and card.has("tools"))


def _look(block: Block, wanted: set[str]) -> None:
    kind = type(block)
    if kind is Image:
        wanted.add("vision")
    elif kind is Document:
        # Also by reference, where nothing says what it is, and in other formats: who reads none reads none of these.
        text = block.text is not None or block.content is not None  # type: ignore[union-attr]
        if not text and not block.media_type.startswith("text/"):  # type: ignore[union-attr]
            wanted.add("pdf")
    elif kind is ToolResult:
        for inner in block.content:  # type: ignore[union-attr]
            _look(inner, wanted)
    elif kind is Opaque:
        payload = block.payload  # type: ignore[union-attr]
        if isinstance(payload, dict):
            names = {payload.get("type"), *payload} & _OPAQUE.keys()
            wanted.update(_OPAQUE[name] for name in names)


def _characters(request: Request) -> int:
    """Characters that are sent as text, tools' descriptions and schemas by their usual length."""
    count = 600 * len(request.tools)
    for block in request.system:
        count += _length(block)
    for message in request.messages:
        for block in message.content:
            count += _length(block)
    return count


def _length(block: Block) -> int:
    match block:
        case Text() | Thinking():
            return len(block.text)
        case ToolUse():
            return len(block.arguments)
        case ToolResult():
            return sum(_length(inner) for inner in block.content)
        case Document():
            return len(block.text or "") + len(block.data or b"") // 8
        case Data():
            return 400
        case _:
            return 1_600
