"""Measures a collection's floor (`floor`) on everyday questions and on its own sentences."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np

from hapenny.retrieval.chunking import sentences
from hapenny.retrieval.documents import Matrix
from hapenny.retrieval.search.floor import Floor
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.stores.contract import Store

_QUESTIONS = Path(__file__).parents[1] / "data" / "outside"
_OUTSIDE_SHARE = 0.85
"""Share of the questions from outside that stay under the floor."""
_OWN_SHARE = 0.02
"""Share of the collection's own sentences that may stay under it."""
_OWN_WORDS = 0.5
"""What a question in other words reaches of what the sentence itself does."""
_NEVER = 0.98
"""Share of them that come no nearer than a passage without a shared word must be."""
_OWN = 100
_BEST = 5
_LONGEST = 300

Embed: TypeAlias = Callable[[Sequence[str]], Awaitable[Matrix]]


def outside(language: str) -> list[str]:
    """Everyday questions in a language; English ones where there are none of its own."""
    path = _QUESTIONS / f"{language}.txt"
    text = (path if path.exists() else _QUESTIONS / "en.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip()]


async def measure(retriever: Retriever, embed: Embed) -> Floor | None:
    """Measures a collection's floor; None for one that is empty. Costs one search for each of about 180 texts."""
    store = retriever.store
    count = store.count()
    asked = outside(store.analyser.language)
    own = _own_sentences(store, count)
    if not count or not own:
        return None
    vectors = await embed([*asked, *own])
    plain = Floor(cosine=0.0, cosine_spread=1.0, coverage=0.0, coverage_spread=1.0, least=-math.inf, documents=count)
    looking = retriever.looking(plain)
    looked_at = [looking.looks(text, vector, _BEST) for text, vector in zip([*asked, *own], vectors, strict=True)]
    strange = [look for look in looked_at[: len(asked)] if len(look[0])]
    if not strange:
        return None
    cosine, cosine_spread = _robust([float(near.max()) for near, _ in strange], 0.02)
    coverage, coverage_spread = _robust([float(held.max()) for _, held in strange], 0.05)
    scale = msgspec.structs.replace(
        plain, cosine=cosine, cosine_spread=cosine_spread, coverage=coverage, coverage_spread=coverage_spread
    )
    reached = [float(scale.evidence(near, held).max()) for near, held in strange]
    own_reached = [float(scale.evidence(near, held).max()) for near, held in looked_at[len(asked) :] if len(near)]
    least = float(np.quantile(reached, _OUTSIDE_SHARE))
    if own_reached:
        own_least = float(np.quantile(own_reached, _OWN_SHARE))
        least = min(least, own_least, _OWN_WORDS * own_least)
    alone = float(np.quantile([float(near.max()) for near, _ in strange], _NEVER))
    return msgspec.structs.replace(scale, least=round(least, 4), alone=round(alone, 4))


def _own_sentences(store: Store, count: int) -> list[str]:
    """A sentence each of about a hundred documents, spread over the collection."""
    rows = store.sample(_OWN)
    texts = []
    for number, document in enumerate(store.fetch(rows)):
        parts = [part for part in sentences(document.text) if len(part) > 15] or [document.searchable()]
        texts.append(parts[number % len(parts)][:_LONGEST])
    return [text for text in texts if text.strip()]


def _robust(values: Sequence[float], least: float) -> tuple[float, float]:
    """Median, and the spread that the median absolute deviation stands for (Rousseeuw and Croux 1993)."""
    data = np.array(values)
    middle = float(np.median(data))
    return middle, max(least, 1.4826 * float(np.median(np.abs(data - middle))))
