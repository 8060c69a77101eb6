"""An answer as the caches keep it, and the tags by which it is found again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct, field

from hapenny.caching.store import Store
from hapenny.core.events import Event, Tokens
from hapenny.core.exchange import Exchange


class Stored(Struct, frozen=True, gc=False):
    """An answer as the cache keeps it."""

    events: tuple[Event, ...]
    tokens: Tokens
    model: str
    tenant: str
    evidence: tuple[tuple[str, str], ...] = ()
    """The documents it rests on: (id, version)."""
    prompt: str = ""
    """Version of the prompt it was made with."""
    forms: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    """The answer as it was written last, by protocol."""


MOST_TAGS = 16
"""Of a caller's own tags that an entry keeps."""


PRECOMPUTED = "precomputed"
"""Tag of answers that were asked for ahead."""


STALE = "stale"
"""Why an entry past its lifetime is a miss; on a hit: it was served all the same, and waits to be refreshed."""


Answers: TypeAlias = Store[Stored]


def evidence_tags(evidence: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The tags of an answer that rests on documents (id, version)."""
    return tuple(tag for id_, version in evidence for tag in (f"doc:{id_}", f"doc:{id_}@{version}"))


RESULT = "result:"
"""Prefix of the tag that all entries with the same answer share."""


def result_tag(fingerprint: bytes) -> str:
    """The tag that all entries with the same answer share."""
    return RESULT + fingerprint[:8].hex()


def _own(tags: Mapping[str, str]) -> list[str]:
    return [f"{name}:{value}" for name, value in list(tags.items())[:MOST_TAGS]]


def tags_of(exchange: Exchange, stored: Stored) -> tuple[str, ...]:
    """What an answer can be invalidated by: route, model, knowledge epoch, evidence, and the caller's own tags."""
    epoch = exchange.policy.knowledge_epoch
    return (
        f"route:{exchange.route}",
        f"model:{stored.model}",
        *((f"epoch:{epoch}",) if epoch else ()),
        *((PRECOMPUTED,) if exchange.background == "precompute" else ()),
        *exchange.answer.tags,
        *(_own(exchange.context.tags) if exchange.context.tags else ()),
        *(evidence_tags(stored.evidence) if stored.evidence else ()),
    )
