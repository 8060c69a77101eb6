"""Reads the collection folders of a data directory."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from hapenny.retrieval.documents import BODY_SEPARATOR, Document

MAX_DISTINCT = 2000


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


def read(folder: Path) -> Collection:
    """Reads a collection by the layout's rules: title, every other string as text, few-valued ones as facets."""
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
    return Collection(folder.name, documents(corpus), queries)


def documents(corpus: list[dict[str, Any]]) -> list[Document]:
    """Rows of a corpus file as documents."""
    few = _filterable(corpus)
    made = []
    for row in corpus:
        parts: list[str] = []
        facets: dict[str, list[str]] = {}
        numbers: dict[str, float] = {}
        for name, value in row.items():
            if name == "id":
                continue
            strings = _strings(value)
            if strings is not None:
                if name in few:
                    facets[name] = [each for each in strings if each]
                if name != "title":
                    parts.extend(each for each in strings if each)
            elif isinstance(value, bool):
                facets[name] = [str(value).lower()]
            elif isinstance(value, (int, float)):
                numbers[name] = float(value)
        title = row.get("title") or ""
        made.append(
            Document(id=str(row["id"]), title=title, text=BODY_SEPARATOR.join(parts), facets=facets, numbers=numbers)
        )
    return made


def _strings(value: Any) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None


def _filterable(corpus: list[dict[str, Any]]) -> set[str]:
    distinct: dict[str, Counter[str]] = {}
    for row in corpus:
        for name, value in row.items():
            strings = _strings(value)
            if strings is not None and name not in ("id", "title"):
                distinct.setdefault(name, Counter()).update(strings)
    return {name for name, values in distinct.items() if 1 < len(values) <= MAX_DISTINCT}
