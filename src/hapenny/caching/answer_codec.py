"""Stored answers as bytes, for gateways that share them."""

from __future__ import annotations

from typing import Any

import msgspec

from hapenny.caching.store import Entry
from hapenny.caching.stored import Stored
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Event,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    Tokens,
    Usage,
)

VERSION = 1
_KINDS: tuple[Any, ...] = (
    Started, BlockStarted, TextDelta, ThinkingDelta, SignatureDelta, CitationDelta, BlockStopped, Usage, Stopped,
)  # fmt: skip
"""Events of stored answers, by the number under which they are written. New ones go to the end."""


class Carried(msgspec.Struct, array_like=True):
    """An answer on its way, and how it is to be kept."""

    version: int
    events: list[tuple[int, Any]]
    tokens: Tokens
    model: str
    tenant: str
    evidence: tuple[tuple[str, str], ...]
    prompt: str
    tags: tuple[str, ...]
    size: int
    ttl: float
    stale: float
    passages: int = 0

    def entry(self, key: bytes, stored: Stored, at: float) -> Entry[Stored]:
        """It as a store holds it that has kept it since `at` (epoch seconds)."""
        fresh = at + self.ttl
        return Entry(key, stored, self.size, at, fresh, fresh + self.stale, self.tags, self.tenant)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Carried).decode


def encoded(stored: Stored, size: int, ttl: float, stale: float, tags: tuple[str, ...]) -> bytes | None:
    """The bytes of an answer; None for one that only one protocol understands."""
    events: list[tuple[int, Any]] = []
    for event in stored.events:
        if type(event) not in _KINDS or (type(event) is BlockStarted and event.kind == "other"):
            return None
        events.append((_KINDS.index(type(event)), _bare(event)))
    return _encode(
        Carried(
            VERSION, events, stored.tokens, stored.model, stored.tenant, stored.evidence, stored.prompt, tags, size,
            ttl, stale, stored.passages,
        )
    )  # fmt: skip


def decoded(data: bytes) -> tuple[Carried, Stored] | None:
    """The answer of some bytes; None for those of another version."""
    try:
        it = _decode(data)
        if it.version != VERSION:
            return None
        events = tuple(msgspec.convert(each, _KINDS[kind]) for kind, each in it.events)
    except (msgspec.MsgspecError, IndexError, ValueError):
        return None
    return it, Stored(
        events, it.tokens, it.model, it.tenant, evidence=it.evidence, prompt=it.prompt, passages=it.passages
    )


def _bare(event: Event) -> dict[str, Any]:
    """The event without its wire frame."""
    fields: dict[str, Any] = msgspec.to_builtins(event, builtin_types=(bytes,))
    fields.pop("raw", None)
    return fields
