"""Intents from labelled traffic: ridge regression to label indicators on hashed words and pairs; abstains to `unknown`.

tf-idf rows of unit length, all labels solved at once by conjugate gradients on the sparse rows (a least-squares
classifier; Zhang and Oles 2001 for text). Seconds to train on ten thousand texts; a decision gathers one row per token.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from hapenny.routing.intents.features import Features, Floats, extract

UNKNOWN = "unknown"
BUCKETS = 1 << 13
Terms: TypeAlias = tuple[npt.NDArray[np.intp], Floats]
_MASK = np.uint64(BUCKETS - 1)
_FOLDS = 5
_PENALTY, _STEPS = 1.0, 12


class IntentModel(Struct, kw_only=True, frozen=True):
    """A trained classifier. `weights`: float32, (buckets, labels); `idf`: float32, shape (buckets,); `margin`: the
    least score that counts as an answer."""

    labels: tuple[str, ...]
    weights: bytes
    idf: bytes
    margin: float
    accuracy: float
    """Share of held-out texts that were classified at all and rightly."""
    coverage: float
    """Share of held-out texts that were classified at all."""
    trained_on: int


class Classifier:
    """Says which intent a text has, or `unknown`."""

    def __init__(self, model: IntentModel) -> None:
        self.model = model
        self._weights = np.frombuffer(model.weights, dtype=np.float32).reshape(BUCKETS, len(model.labels))
        self._idf = np.frombuffer(model.idf, dtype=np.float32)

    def classify(self, text: str | Features) -> tuple[str, float]:
        """The intent and its score (about the share of such texts that have it); `unknown` under the margin."""
        at, tf = _terms(text if isinstance(text, Features) else extract(text))
        best, score = _best(at, tf, self._weights, self._idf)
        return (self.model.labels[best] if score >= self.model.margin else UNKNOWN), score


def read_intents(path: str | None) -> Classifier | None:
    """The classifier a configuration names, or None where it names none.

    Raises:
        ValueError: the file cannot be read, or is no classifier.
    """
    if path is None:
        return None
    try:
        return Classifier(msgspec.msgpack.decode(Path(path).read_bytes(), type=IntentModel))
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"{path}: {error}. Fix: a file that `hapenny train intents` wrote") from None


def train(texts: Sequence[str], labels: Sequence[str], precision: float = 0.9) -> IntentModel:
    """Learns labels from texts; the margin is the smallest at which held-out precision reaches `precision`.

    Raises:
        ValueError: for fewer than two labels or texts of another number than labels.
    """
    names = tuple(sorted(set(labels)))
    if len(names) < 2 or len(texts) != len(labels):
        raise ValueError(f"intents need two labels at least and one per text, not {len(names)} for {len(texts)} texts")
    index = {name: i for i, name in enumerate(names)}
    rows = [_terms(extract(text)) for text in texts]
    target = np.array([index[label] for label in labels])
    fold = np.arange(len(rows)) % _FOLDS
    held = np.flatnonzero(fold == 0)
    weights, idf = _solve([rows[i] for i in np.flatnonzero(fold)], target[fold > 0], len(names))
    guesses = [_best(rows[i][0], rows[i][1], weights, idf) for i in held]
    scores = np.array([score for _, score in guesses])
    right = np.array([best for best, _ in guesses]) == target[held]
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    enough = np.flatnonzero(hits / np.arange(1, len(held) + 1) >= precision)
    taken = int(enough[-1]) + 1 if len(enough) else 0
    weights, idf = _solve(rows, target, len(names))
    return IntentModel(
        labels=names,
        weights=weights.astype(np.float32).tobytes(),
        idf=idf.astype(np.float32).tobytes(),
        margin=max(1e-6, float(scores[order[taken - 1]])) if taken else float("inf"),
        accuracy=float(hits[taken - 1]) / len(held) if taken else 0.0,
        coverage=taken / len(held),
        trained_on=len(rows),
    )


def _terms(features: Features) -> Terms:
    ids, count = np.unique(np.concatenate((features.words, features.pairs)) & _MASK, return_counts=True)
    return ids.astype(np.intp), 1 + np.log(count)


def _solve(rows: list[Terms], target: npt.NDArray[np.intp], labels: int) -> tuple[npt.NDArray[np.float32], Floats]:
    """Weights, shape (buckets, labels), and inverse document frequencies."""
    rows, target = _filled(rows, target)
    at = np.concatenate([row[0] for row in rows])
    sizes = np.array([len(row[0]) for row in rows])
    owner = np.repeat(np.arange(len(rows)), sizes)
    seen = np.bincount(at, minlength=BUCKETS)
    idf: Floats = np.where(seen > 0, np.log((len(rows) + 1) / (seen + 1)) + 1, 0.0)
    value = np.concatenate([row[1] for row in rows]) * idf[at]
    value = (value / np.sqrt(np.bincount(owner, value * value))[owner]).astype(np.float32)[:, None]
    begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    by_bucket = np.argsort(at, kind="stable")
    first = np.flatnonzero(np.diff(at[by_bucket], prepend=-1))
    columns = at[by_bucket][first]

    def back(residual: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        out = np.zeros((BUCKETS, labels), dtype=np.float32)
        out[columns] = np.add.reduceat(residual[owner[by_bucket]] * value[by_bucket], first)
        return out

    wanted = np.full((len(rows), labels), -1 / labels, dtype=np.float32)
    wanted[np.arange(len(rows)), target] += 1
    x = np.zeros((BUCKETS, labels), dtype=np.float32)
    residual = back(wanted)
    direction, norm = residual.copy(), (residual * residual).sum(axis=0)
    for _ in range(_STEPS):
        image = back(np.add.reduceat(direction[at] * value, begins)) + _PENALTY * direction
        step = norm / ((direction * image).sum(axis=0) + 1e-12)
        x += step * direction
        residual -= step * image
        new = (residual * residual).sum(axis=0)
        direction = residual + (new / (norm + 1e-12)) * direction
        norm = new
    return x, idf


def _filled(rows: list[Terms], target: npt.NDArray[np.intp]) -> tuple[list[Terms], npt.NDArray[np.intp]]:
    keep = [i for i, row in enumerate(rows) if len(row[0])]
    return [rows[i] for i in keep], target[keep]


def _best(
    at: npt.NDArray[np.intp], tf: Floats, weights: npt.NDArray[np.float32], idf: npt.NDArray[Any]
) -> tuple[int, float]:
    value = tf * idf[at]
    length = float(np.sqrt(value @ value))
    if not length:
        return 0, 0.0
    scores = value @ weights[at] / length
    best = int(np.argmax(scores))
    return best, float(scores[best])
