"""Fits what is learnt from judgements or clicks: noise words, preferred fields, the ranker. At run time all is data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.retrieval.documents import Rows, Scores
from hapenny.retrieval.search.forest import Forest, Table
from hapenny.retrieval.search.fusion import order
from hapenny.retrieval.search.ranker_features import NAMES
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.search.scoring import Popularity, quantile
from hapenny.retrieval.search.selection import calibrate
from hapenny.retrieval.settings import Settings
from hapenny.retrieval.stores.contract import Store
from hapenny.retrieval.tune.metrics import dcg
from hapenny.retrieval.tune.noise_words import learn
from hapenny.retrieval.tune.ranker_training import Training, train

FLOOR_DEPTH = 20
"""How far down a list relevant documents count for the floor."""
_PRIOR_DEPTH = 60
_PRIOR_QUERIES = 2_000
_LEAST_QUERIES = 20
_WEIGHTS = (0.02, 0.04, 0.08, 0.12)


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


def learn_prior(retriever: Retriever, judged: Sequence[Judged]) -> tuple[Popularity, ...]:
    """The numeric fields of which relevant documents have more, as rules (the best two at most, strongest first).

    A field counts if the rule gains nDCG@10 on both halves of the queries, each with the weight that the other half
    chose, by more than one standard error over all. Nothing is known of what the fields are called.
    """
    plain = retriever.looking(None)
    queries = [each for query in judged[:_PRIOR_QUERIES] if (each := _Ordered.of(plain, query)) is not None]
    if len(queries) < _LEAST_QUERIES:
        return ()
    before = np.array([query.ndcg(query.scores) for query in queries])
    gained: list[tuple[float, Popularity]] = []
    for field in retriever.store.number_fields():
        reference = retriever.store.quantiles(field)
        if not len(reference) or reference[0] >= reference[-1]:
            continue
        lifts = [quantile(retriever.store.numbers(field, query.rows), reference) * query.matched for query in queries]
        gains = np.stack(
            [
                [query.ndcg(query.scores + weight * lift) for query, lift in zip(queries, lifts, strict=True)] - before
                for weight in _WEIGHTS
            ]
        )
        halves = [np.arange(len(queries)) % 2 == half for half in (0, 1)]
        crossed = np.concatenate([gains[gains[:, ~half].mean(axis=1).argmax(), half] for half in halves])
        if all(gains[gains[:, ~half].mean(axis=1).argmax(), half].mean() > 0 for half in halves) and (
            crossed.mean() > crossed.std() / len(crossed) ** 0.5
        ):
            weight = _WEIGHTS[int(gains.mean(axis=1).argmax())]
            gained.append((float(crossed.mean()), Popularity(weight=weight, fields=(field,))))
    gained.sort(key=lambda pair: -pair[0])
    # Fields of one meaning (votes, views) gain together; one rule with the rest behind it as the ranker's second prior.
    if not gained:
        return ()
    best = gained[0][1]
    others = tuple(rule.fields[0] for _, rule in gained[1:2])
    return (msgspec.structs.replace(best, fields=(*best.fields, *others)),)


def with_prior(settings: Settings, learnt: tuple[Popularity, ...]) -> Settings:
    """Settings with the learnt rules in place of those learnt before."""
    if not learnt:
        return settings
    others = tuple(rule for rule in settings.scoring.rules if not isinstance(rule, Popularity))
    scoring = msgspec.structs.replace(settings.scoring, rules=(*others, *learnt))
    return msgspec.structs.replace(settings, scoring=scoring)


class _Ordered(msgspec.Struct, frozen=True):
    """The head of a query's list, with what a rule adds to."""

    rows: Rows
    scores: NDArray[np.float64]
    matched: NDArray[np.float64]
    gains: NDArray[np.float64]
    best: float

    @classmethod
    def of(cls, retriever: Retriever, query: Judged) -> _Ordered | None:
        ranked = retriever.rank(query.text, query.vector)
        rows = ranked.rows[:_PRIOR_DEPTH]
        known = dict(zip(retriever.store.rows_of(list(query.gains)), query.gains.values(), strict=True))
        gains = np.array([known.get(int(row), 0.0) for row in rows])
        best = dcg(sorted(query.gains.values(), reverse=True)[:10])
        if not len(rows) or best <= 0 or gains.max() <= 0:
            return None
        lexical = np.nan_to_num(ranked.candidates.lexical[:_PRIOR_DEPTH].astype(np.float64))
        return cls(rows, ranked.scores[:_PRIOR_DEPTH], lexical / max(float(lexical.max()), 1e-9), gains, best)

    def ndcg(self, scores: NDArray[np.float64]) -> float:
        return dcg(self.gains[order(self.rows, scores)[:10]].tolist()) / self.best


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
        gains_of_rows = np.array([known.get(int(row), 0.0) for row in rows])
        if gains_of_rows.max() > gains_of_rows.min():
            tables.append(table)
            gains.append(gains_of_rows)
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
