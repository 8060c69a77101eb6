"""Reads the sets of a folder and turns them into request streams.

SET is the file name up to its first dot; what a file is, its fields say: `strict` or `label` (intent sets, `bot` is
the namespace), `a`/`b`/`ga`/`gb` (question pairs in groups), `state` (dialogue turns), `hash_ids` (prefix traces).
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hapenny.caching.semantic.terms import Terms, read
from hapenny.vectors import Embedder, Vectors

ORDERS = 3
NEAR = 64
MOST_QUESTIONS = 8_000


class Questions(Struct):
    """A labelled set: two questions with the same label have the same right answer."""

    name: str
    texts: list[str]
    labels: NDArray[np.int64]
    spaces: NDArray[np.int64]


class Stream(Struct):
    """One order of a set, with each question's nearest earlier ones in the same namespace."""

    name: str
    order: int
    texts: list[str]
    terms: list[Terms]
    labels: list[int]
    near: list[list[int]]
    similarities: list[list[float]]


def rows(path: Path) -> list[dict[str, Any]]:
    """All lines of a gzipped JSON-lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def files(folder: Path) -> dict[str, Path]:
    """Every data file by its SET name."""
    return {path.name.split(".")[0]: path for path in sorted(folder.glob("*.jsonl.gz"))}


def questions(name: str, found: list[dict[str, Any]], quick: bool) -> Questions | None:
    """The labelled questions of a file, or None if it is of another kind."""
    first = found[0]
    spaces: list[str]
    labels: list[str]
    if "ga" in first:
        texts, labels = _groups(found, 1_500 if quick else MOST_QUESTIONS)
        spaces = [""] * len(texts)
    elif "text" in first and "label" in first:
        if quick:
            found = random.Random(5).sample(found, min(1_500, len(found)))
        texts = [row["text"] for row in found]
        label = "strict" if "strict" in first else "label"
        labels = [f"#{at}" if row.get("oos") else row[label] for at, row in enumerate(found)]
        spaces = [row.get("bot", "") for row in found]
    else:
        return None
    return Questions(name, texts, numbers(labels), numbers(spaces))


def _groups(found: list[dict[str, Any]], most: int) -> tuple[list[str], list[str]]:
    """Whole groups in a seeded order, up to `most` questions."""
    groups: dict[str, dict[str, None]] = {}
    for row in found:
        groups.setdefault(row["ga"], {})[row["a"]] = None
        groups.setdefault(row["gb"], {})[row["b"]] = None
    names = sorted(groups)
    random.Random(17).shuffle(names)
    texts: list[str] = []
    labels: list[str] = []
    for name in names:
        if len(texts) + len(groups[name]) > most:
            break
        texts.extend(groups[name])
        labels.extend([name] * len(groups[name]))
    return texts, labels


def numbers(names: list[str]) -> NDArray[np.int64]:
    number = {name: at for at, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=np.int64)


async def stream(source: Questions, order: int, embedder: Embedder) -> Stream:
    """The set in its `order`-th shuffle."""
    shuffled = list(range(len(source.texts)))
    random.Random(1_000 + order).shuffle(shuffled)
    texts = [source.texts[at] for at in shuffled]
    vectors = await embedder.embed(texts)
    near, similarities = _earlier(vectors, source.spaces[shuffled])
    return Stream(
        source.name,
        order,
        texts,
        [read(text) for text in texts],
        source.labels[shuffled].tolist(),
        near,
        similarities,
    )


def _earlier(vectors: Vectors, spaces: NDArray[np.int64]) -> tuple[list[list[int]], list[list[float]]]:
    """For each row its `NEAR` nearest rows before it in the same namespace, nearest first."""
    near: list[list[int]] = []
    similarities: list[list[float]] = []
    for start in range(0, len(vectors), 512):
        end = min(start + 512, len(vectors))
        scores = vectors[start:end] @ vectors[:end].T
        scores[spaces[start:end, None] != spaces[None, :end]] = -2
        scores[np.arange(end)[None, :] >= np.arange(start, end)[:, None]] = -2
        count = min(NEAR, end)
        top = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(scores, top, axis=1)
        ranked = np.argsort(-values, axis=1, kind="stable")
        top, values = np.take_along_axis(top, ranked, axis=1), np.take_along_axis(values, ranked, axis=1)
        for keys, scored in zip(top, values, strict=True):
            there = scored > -1.5
            near.append(keys[there].tolist())
            similarities.append(scored[there].tolist())
    return near, similarities
