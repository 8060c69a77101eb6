"""What is said of an answer to whoever reads it: caches that keep it, followers of its call, headers, the ledger."""

from __future__ import annotations

from msgspec import Struct


class Citation(Struct, frozen=True, kw_only=True, gc=False):
    """What a number in the answer stands for."""

    number: int
    id: str
    """The document's."""
    chunk: str
    """The passage's."""
    title: str
    source: str
    score: float


class AnswerFacts(Struct, kw_only=True):
    """What is known of an answer besides its events. Empty until a stage has something to say."""

    model: str = ""
    """Who gave it, where no call of this exchange did: the model a cache remembers, or that of a followed call."""
    evidence: tuple[tuple[str, str], ...] = ()
    """The documents it rests on: (id, version)."""
    tags: tuple[str, ...] = ()
    """What stored copies of it can be invalidated by, besides what the cache knows itself."""
    citations: tuple[Citation, ...] = ()
    """What the numbers in its text stand for."""
    certificate: str = ""
    """The promise that covers the choice of its model, as it stands in the headers."""
    replayed: bool = False
    """A cache behind this one had it: no model gave it to this request."""
    precomputed: bool = False
    """It was asked for ahead."""
    degraded: str = ""
    """What was left out of the request or the answer to keep a time limit; such an answer is never stored."""
    calls: tuple[str, ...] = ()
    """Names of the tools that it calls."""
    guarded: str = ""
    """What a guardrail changed or refused; such an answer is never stored."""
    passages: int = 0
    """Of a stored answer: tokens of the passages that the application would have sent with the question."""
