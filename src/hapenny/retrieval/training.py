"""Fits what is learnt from judgements or clicks: noise words and the ranker. At run time both are plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from hapenny.retrieval.documents import Scores
from hapenny.retrieval.features import NAMES
from hapenny.retrieval.forest import Forest, Table, Training, train
from hapenny.retrieval.noise import learn
from hapenny.retrieval.retriever import Retriever
from hapenny.retrieval.selection import calibrate
from hapenny.retrieval.store import Store

FLOOR_DEPTH = 20
"""How far down a list relevant documents count for the floor."""


class Judged(msgspec.Struct, frozen=True):
    """A query with the gains (0 to 1) of documents, and its vector. Clicks over views are gains too."""

    text: str
    gains: Mapping[str, float]
    vector: Scores


class Examples(msgspec.Struct, frozen=True):
    """Feature rows with their gains; rows of one query share a list number."""

    table: Table
    gains: np.ndarray[tuple[int], np.dtype[np.float64]]
    lists: np.ndarray[tuple[int], np.dtype[np.int64]]


def noise_words(store: Store, judged: Sequence[Judged]) -> frozenset[str]:
    """Noise words of a collection from its judged queries (`noise.learn`)."""
    examples = []
    for query in judged:
        rows = store.rows_of([each for each, gain in query.gains.items() if gain >= 1.0])
        texts = [document.searchable() for document in store.fetch([row for row in rows if row is not None])]
        examples.append((query.text, texts))
    return learn(examples, store.analyser, least=5, share=0.3)


def relevance_floor(retriever: Retriever, judged: Sequence[Judged], keep: float = 0.95) -> float | None:
    """The highest floor (`Selection.floor`) under which at most `1 - keep` of the relevant documents that are found
    would be lost. Of a document's chunks the best counts. None when nothing relevant is found."""
    best: list[tuple[float, bool]] = []
    for query in judged:
        ranked = retriever.rank(query.text, query.vector)
        documents = retriever.store.fetch(ranked.rows[:FLOOR_DEPTH].tolist())
        seen: set[str] = set()
        for document, score in zip(documents, ranked.scores[:FLOOR_DEPTH].tolist(), strict=True):
            parent = document.parent or document.id
            if parent not in seen:
                seen.add(parent)
                best.append((score, max(query.gains.get(document.id, 0.0), query.gains.get(parent, 0.0)) >= 1.0))
    return calibrate(best, keep)


def examples(retriever: Retriever, judged: Sequence[Judged], first: int = 0) -> Examples:
    """Candidates of every judged query as training rows. Unjudged ones count as gaining nothing."""
    tables, gains, lists = [], [], []
    for number, query in enumerate(judged, first):
        rows, table = retriever.examples(query.text, query.vector)
        if not len(rows):
            continue
        known = {
            row: query.gains[each]
            for each, row in zip(query.gains, retriever.store.rows_of(list(query.gains)), strict=True)
            if row is not None
        }
        found = np.array([known.get(int(row), 0.0) for row in rows])
        if found.max() > found.min():
            tables.append(table)
            gains.append(found)
            lists.append(np.full(len(rows), number))
    if not tables:
        return Examples(np.empty((0, len(NAMES)), np.float32), np.empty(0), np.empty(0, np.int64))
    return Examples(np.concatenate(tables), np.concatenate(gains), np.concatenate(lists))


def fit(parts: Sequence[Examples], how: Training | None = None) -> Forest:
    """One ranker over the examples of one or more collections."""
    shift, lists = 0, []
    for part in parts:
        lists.append(part.lists + shift)
        shift += int(part.lists.max(initial=-1)) + 1
    return train(
        np.concatenate([part.table for part in parts]),
        np.concatenate([part.gains for part in parts]),
        np.concatenate(lists),
        NAMES,
        how,
    )
