"""Answers as the caches keep them, the tags by which they are found again, and equal ones kept once.

The fingerprint of a result covers tenant, answer, evidence (ids and versions), model and prompt version. Two questions
with the same fingerprint share one stored answer. Evidence travels as tags (`evidence_tags`): an answer is found
by the documents it rests on in every layer that holds it, and goes stale with them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct, field

from hapenny.caching.edge import EVIDENCE, Edge
from hapenny.caching.keys import Keys
from hapenny.caching.store import Selector, Store
from hapenny.core.answer import Heard
from hapenny.core.clock import Clock
from hapenny.core.events import Event, Started, Tokens, Usage
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
    passages: int = 0
    """Tokens of passages that the application would have sent with the question."""
    forms: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    """The answer as it was written last, by protocol."""
    heard: list[Heard] = field(default_factory=list)
    """What it says to whoever records it, once it was replayed."""


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


@lru_cache(1_024)
def _standing(route: str, model: str, epoch: str) -> tuple[str, ...]:
    """The tags that nearly all entries have, each one string for all of them."""
    return (f"route:{route}", f"model:{model}", *((f"epoch:{epoch}",) if epoch else ()))


def tags_of(exchange: Exchange, stored: Stored) -> tuple[str, ...]:
    """What an answer can be invalidated by: route, model, knowledge epoch, evidence, and the caller's own tags."""
    return (
        *_standing(exchange.route, stored.model, exchange.policy.knowledge_epoch),
        *((PRECOMPUTED,) if exchange.background == "precompute" else ()),
        *exchange.answer.tags,
        *(_own(exchange.context.tags) if exchange.context.tags else ()),
        *(evidence_tags(stored.evidence) if stored.evidence else ()),
    )


MOST = 100_000
"""Fingerprints and changed documents that are remembered."""


class AnswerDedup:
    """The fingerprints of one deployment's stored answers; the last 100,000.

    Args:
        keys: makes fingerprints.
        answers: the exact layer's store.
        clock: the deployment's clock.
        paraphrases: the semantic layer's store.
        edge: published answers.
    """

    def __init__(
        self, keys: Keys, answers: Answers, clock: Clock, paraphrases: Answers | None = None, edge: Edge | None = None
    ) -> None:
        self._keys = keys
        self.layers = {"exact": answers} | ({"semantic": paraphrases} if paraphrases is not None else {})
        self.edge = edge
        self.clock = clock
        self.answers = answers
        # The store decides how long an answer is kept; here stands only where it was put last.
        self._known: OrderedDict[bytes, bytes] = OrderedDict()
        self._changed: OrderedDict[str, float] = OrderedDict()
        self._all = 0.0
        self.on_stale: Callable[[str, str], None] = lambda tag, keep: None
        """Is told the tag of what went stale, and the tag of what did not."""
        self.merged = 0
        """Answers that were there already under another question."""
        self.stale = 0
        """Answers that went stale with their evidence, over all layers."""

    def fingerprint(self, stored: Stored, more: str = "") -> bytes:
        """32 bytes, keyed: says nothing about the answer to who does not hold the secret."""
        # How an answer came about (its id, how long it took) is not what it says; its counts are told to clients.
        content = [
            Usage(event.tokens) if type(event) is Usage else event
            for event in stored.events
            if type(event) is not Started
        ]
        return self._keys.fingerprint(
            stored.tenant, content, sorted(stored.evidence), stored.model, (stored.prompt, more)
        )

    def share(self, fingerprint: bytes, stored: Stored, key: bytes) -> tuple[Stored, bool]:
        """The answer to store under `key`: the one that is there already, under another question, if its fingerprint is
        known; and whether the same answer was given before, there still or not."""
        before = self._known.pop(fingerprint, None)
        self._known[fingerprint] = key
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        entry = self.answers.peek(before) if before is not None else None
        if entry is not None and result_tag(fingerprint) in entry.tags:
            self.merged += before != key
            return entry.value, True
        return stored, before is not None

    def current(self, stored: Stored, since: float) -> bool:
        """Whether none of an answer's documents changed after `since` (epoch seconds), when it was asked for."""
        changed = self._changed
        return all(max(self._all, changed.get(id, 0.0)) < since for id, _ in stored.evidence)

    def evidence_changed(self, document: str, version: str = "") -> int:
        """Marks stale every answer that rests on another version of a document ("" for a deleted one, or where the new
        one is not known), in every layer; counts them.

        Stale answers are refreshed where the route serves stale ones, and are misses elsewhere; published ones are
        withdrawn.
        """
        self._changed[document] = self.clock.wall()
        self._changed.move_to_end(document)
        if len(self._changed) > MOST:
            self._changed.popitem(last=False)
        return self._expire(f"doc:{document}", keep=f"doc:{document}@{version}")

    def collection_changed(self, name: str, documents: Sequence[str] | None) -> int:
        """The same for documents of a collection of which another version was indexed; None: any may have been."""
        if documents is None:
            self._all = self.clock.wall()
            withdrawn = self.edge.withdraw(EVIDENCE) if self.edge is not None else 0
            return self._expire(f"collection:{name}") + withdrawn
        return sum(self.evidence_changed(document) for document in documents)

    def stats(self) -> dict[str, int]:
        """How many answers were merged, and went stale with their evidence."""
        return {"merged": self.merged, "stale": self.stale}

    def _expire(self, tag: str, keep: str = "") -> int:
        self.on_stale(tag, keep)
        count = sum(layer.expire(Selector(tag=tag), keep=keep) for layer in self.layers.values())
        if self.edge is not None:
            count += self.edge.withdraw(tag, keep=keep)
        self.stale += count
        return count
