"""Judged queries against a collection: nDCG, recall, MRR, share unjudged, intervals, the diff of two settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from hapenny.retrieval.ingest.manifest import Manifest
from hapenny.retrieval.search.retriever import Retriever
from hapenny.retrieval.tune.metrics import Quality, interval, per_query, quality
from hapenny.retrieval.tune.training import Judged
from hapenny.vectors.embedder import Embedder

DEPTH = 100


class JudgedRow(msgspec.Struct):
    """A line of a judgements file; grades are scaled by the highest grade of the file."""

    query: str
    judgements: dict[str, float]
    id: str = ""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Means, the 95 % interval of nDCG@10, and nDCG@10 by query."""

    quality: Quality
    low: float
    high: float
    each: list[float]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Mean gain of one over the other in nDCG@10, its 95 % interval, and how many queries moved."""

    gain: float
    low: float
    high: float
    better: int
    worse: int


def read_judged(path: Path) -> list[JudgedRow]:
    """Judged queries of a file: JSON lines with `query` and `judgements` (id to grade)."""
    return [msgspec.json.decode(line, type=JudgedRow) for line in path.read_bytes().splitlines() if line.strip()]


async def judged(rows: Sequence[JudgedRow], embedder: Embedder, manifest: Manifest) -> list[Judged]:
    """Judged queries with vectors, gains from 0 to 1, and ids as the manifest knows them.

    Rows of a table carry their file's name before their own id; judgements may leave it out.
    """
    known = manifest.ids()
    full = {each.rpartition(":")[2]: each for each in known} | {each: each for each in known}
    highest = max((grade for row in rows for grade in row.judgements.values()), default=1.0) or 1.0
    vectors = await embedder.embed([row.query for row in rows])
    return [
        Judged(row.query, {full.get(key, key): grade / highest for key, grade in row.judgements.items()}, vector)
        for row, vector in zip(rows, vectors, strict=True)
    ]


def by_chunk(queries: Sequence[Judged], manifest: Manifest) -> list[Judged]:
    """The same judgements on chunks: every chunk of a document has its document's gain."""
    return [
        Judged(
            query.text,
            {chunk: gain for each, gain in query.gains.items() for chunk in manifest.chunks(each)},
            query.vector,
        )
        for query in queries
    ]


def evaluate(retriever: Retriever, queries: Sequence[Judged]) -> Evaluation:
    """Runs every query. A chunk counts as its document, once, at its best place."""
    runs, gains = [], []
    for query in queries:
        ranked = retriever.rank(query.text, query.vector)
        documents = retriever.store.fetch(ranked.rows[:DEPTH].tolist())
        runs.append(list(dict.fromkeys(each.parent or each.id for each in documents)))
        gains.append(query.gains)
    each = [per_query(run, gain)[0] for run, gain in zip(runs, gains, strict=True)]
    low, high = interval(each)
    return Evaluation(quality=quality(runs, gains), low=low, high=high, each=each)


def compare(one: Evaluation, two: Evaluation) -> Difference:
    """How much `two` gains over `one`, query by query."""
    gaps = [b - a for a, b in zip(one.each, two.each, strict=True)]
    low, high = interval(gaps)
    return Difference(
        gain=sum(gaps) / max(1, len(gaps)),
        low=low,
        high=high,
        better=sum(gap > 1e-9 for gap in gaps),
        worse=sum(gap < -1e-9 for gap in gaps),
    )
