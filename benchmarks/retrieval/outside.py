"""The measured floor: what is sent for questions that a collection is not about, and what it costs those that it is.

Questions from outside are those of the other collections in the data, and everyday questions (on which the floor was
measured, so they are shown beside and count for nothing).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.retrieval.prepare import Prepared, say
from benchmarks.retrieval.ranking import evaluated
from hapenny.retrieval.documents import Scores
from hapenny.retrieval.settings import PRESETS
from hapenny.retrieval.tune.floor_measuring import outside
from hapenny.vectors.embedder import Embedder

SENT = 5
QUESTIONS = 300


def floors(prepared: Sequence[Prepared], by: Embedder) -> dict[str, Any]:
    """By collection: shares of questions for which anything is sent, passages sent, relevant passages kept."""
    out: dict[str, Any] = {}
    for made in prepared:
        if made.floor is None:
            continue
        strange = [
            (query.text, query.vector)
            for other in prepared
            if other is not made and other.store.language == made.store.language
            for query in other.judged[evaluated(other)][:QUESTIONS]
        ]
        everyday = outside(made.store.language)
        vectors = asyncio.run(by.embed(everyday))
        own = made.judged[evaluated(made)][:QUESTIONS]
        known = {document.id: row for document, row in zip(*_rows(made), strict=True)}
        kept, found = 0, 0
        for query in own:
            relevant = {known[each] for each, gain in query.gains.items() if gain >= 1.0 and each in known}
            rows, passing = _passing(made, query.text, query.vector)
            there = [passed for row, passed in zip(rows, passing, strict=True) if row in relevant]
            found += bool(there)
            kept += any(there)
        out[made.name] = {
            "relevant_kept": round(kept / max(1, found), 4),
            "own": _sent(made, [(query.text, query.vector) for query in own]),
            "other_collections": _sent(made, strange) if strange else None,
            "everyday": _sent(made, list(zip(everyday, vectors, strict=True))),
        }
        say(f"{made.name} floor: {out[made.name]}")
    return out


def _sent(made: Prepared, questions: Sequence[tuple[str, Scores]]) -> dict[str, Any]:
    passed = [sum(_passing(made, text, vector)[1]) for text, vector in questions]
    return {
        "answered": round(float(np.mean([count > 0 for count in passed])), 4),
        "passages": round(float(np.mean(passed)), 3),
        "questions": len(passed),
    }


def _passing(made: Prepared, text: str, vector: Scores) -> tuple[list[int], list[bool]]:
    """The first five rows, and whether each is over the floor."""
    ranked = made.retriever(PRESETS["default"]).rank(text, vector)
    assert made.floor is not None
    if ranked.evidence is None:
        return [], []
    return ranked.rows[:SENT].tolist(), [bool(each >= made.floor.least) for each in ranked.evidence[:SENT]]


def _rows(made: Prepared) -> tuple[list[Any], list[int | None]]:
    documents = made.collection.documents
    return documents, made.store.rows_of([document.id for document in documents])
