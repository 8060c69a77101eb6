"""Intents from labelled traffic: complement naive Bayes on hashed words and pairs, which abstains to `unknown`.

Rennie, Shih, Teevan, Karger (2003), "Tackling the poor assumptions of naive Bayes": tf-idf counts, weights from the
complement of each class, normalised. One pass to train; a decision gathers one column per token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from hapenny.intents.features import Features, Floats, extract

UNKNOWN = "unknown"
BUCKETS = 1 << 13
_MASK = np.uint64(BUCKETS - 1)
_FOLDS = 5


class IntentModel(Struct, kw_only=True, frozen=True):
    """A trained classifier. `weights`: float32, shape (labels, buckets); `margin`: least lead over the second label."""

    labels: tuple[str, ...]
    weights: bytes
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
        self._weights = np.frombuffer(model.weights, dtype=np.float32).reshape(len(model.labels), BUCKETS)

    def classify(self, text: str | Features) -> tuple[str, float]:
        """The intent and its lead over the second best; `unknown` where the lead is too small or nothing was seen."""
        features = text if isinstance(text, Features) else extract(text)
        at, tf = _terms(features)
        if not len(at):
            return UNKNOWN, 0.0
        best, lead = _best(self._weights[:, at] @ tf, float(np.sqrt(tf @ tf)))
        if lead < self.model.margin:
            return UNKNOWN, lead
        return self.model.labels[best], lead


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
    leads, right = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
    for held in range(_FOLDS):
        weights = _weights(rows, target, fold != held, len(names))
        for i in np.flatnonzero(fold == held):
            at, tf = rows[i]
            if len(at):
                best, leads[i] = _best(weights[:, at] @ tf, float(np.sqrt(tf @ tf)))
                right[i] = best == target[i]
    order = np.argsort(-leads, kind="stable")
    hits = np.cumsum(right[order])
    enough = np.flatnonzero(hits / np.arange(1, len(rows) + 1) >= precision)
    taken = int(enough[-1]) + 1 if len(enough) else 0
    return IntentModel(
        labels=names,
        weights=_weights(rows, target, fold >= 0, len(names)).astype(np.float32).tobytes(),
        margin=float(leads[order[taken - 1]]) if taken else float("inf"),
        accuracy=float(hits[taken - 1]) / len(rows) if taken else 0.0,
        coverage=taken / len(rows),
        trained_on=len(rows),
    )


def _terms(features: Features) -> tuple[np.typing.NDArray[np.intp], Floats]:
    found, count = np.unique(np.concatenate((features.words, features.pairs)) & _MASK, return_counts=True)
    return found.astype(np.intp), 1 + np.log(count)


def _weights(
    rows: list[tuple[np.typing.NDArray[np.intp], Floats]],
    target: np.typing.NDArray[np.intp],
    use: np.typing.NDArray[np.bool_],
    labels: int,
) -> Floats:
    counts = np.zeros((labels, BUCKETS))
    seen = np.zeros(BUCKETS)
    chosen = np.flatnonzero(use)
    for i in chosen:
        at, _ = rows[i]
        seen[at] += 1
    idf = np.where(seen > 0, np.log((len(chosen) + 1) / (seen + 1)) + 1, 0.0)
    for i in chosen:
        at, tf = rows[i]
        value = tf * idf[at]
        counts[target[i], at] += value / (np.sqrt(value @ value) + 1e-12)
    rest = counts.sum(axis=0) - counts + 0.02
    weights = -np.log(rest / rest.sum(axis=1, keepdims=True))
    weights /= np.abs(weights).sum(axis=1, keepdims=True) / BUCKETS
    # A bucket never seen says nothing about any label.
    return np.asarray(np.where(seen > 0, weights * idf, 0.0))


def _best(scores: Floats, length: float) -> tuple[int, float]:
    first = int(np.argmax(scores))
    second = float(np.partition(scores, -2)[-2])
    return first, (float(scores[first]) - second) / max(length, 1e-12)
