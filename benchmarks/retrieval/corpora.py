"""Reads the collection folders of a data directory."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import msgspec

from hapenny.retrieval.documents import Document
from hapenny.retrieval.readers import from_rows


class Query(msgspec.Struct, frozen=True):
    """A judged query; gains are grade over the collection's highest grade."""

    id: str
    text: str
    gains: dict[str, float]


class Collection(msgspec.Struct, frozen=True):
    """One folder with a corpus and queries by split."""

    name: str
    documents: list[Document]
    queries: dict[str, list[Query]]


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a gzipped JSON-lines file."""
    with gzip.open(path, "rb") as file:
        return [msgspec.json.decode(line) for line in file if line.strip()]


def find(data: Path) -> list[Path]:
    """Folders in (or at) `data` that hold a corpus and queries."""
    candidates = [data, *sorted(path for path in data.iterdir() if path.is_dir())]
    return [
        each for each in candidates if (each / "corpus.jsonl.gz").exists() and list(each.glob("queries_*.jsonl.gz"))
    ]


def read(folder: Path, queries_at_most: int = 0, others: int = 0) -> Collection:
    """Reads a collection by the layout's rules: title, every other string as text, few-valued ones as facets.

    Args:
        folder: of the collection.
        queries_at_most: of each split; 0 for all.
        others: with a bound on queries, documents beside those that are judged for them: embedding a whole corpus is
            most of what a run costs.
    """
    corpus = lines(folder / "corpus.jsonl.gz")
    raw = {
        path.name.removeprefix("queries_").removesuffix(".jsonl.gz"): lines(path)
        for path in sorted(folder.glob("queries_*.jsonl.gz"))
    }
    highest = max((float(g) for rows in raw.values() for row in rows for g in row["judgements"].values()), default=1.0)
    queries = {
        split: [
            Query(str(row["id"]), row["query"], {k: float(g) / highest for k, g in row["judgements"].items()})
            for row in rows
        ]
        for split, rows in raw.items()
    }
    if queries_at_most:
        queries = {split: few[:queries_at_most] for split, few in queries.items()}
        judged = {id for few in queries.values() for query in few for id in query.gains}
        rest = [row for row in corpus if str(row["id"]) not in judged]
        kept = random.Random(11).sample(rest, min(others, len(rest)))
        corpus = [row for row in corpus if str(row["id"]) in judged] + kept
    return Collection(folder.name, from_rows(corpus), queries)
