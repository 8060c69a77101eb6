"""An exact scan: one matrix, one product. The reference every other index is measured against."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hapenny.vectors.embedder import Vectors
from hapenny.vectors.index import Hits, checked, written

_BLOCK = 64
"""Scores that share a maximum in a search."""


class ExactIndex:
    """Vectors in a growing matrix; a removed row is filled by the last one, so the scan stays dense."""

    def __init__(self, dim: int, capacity: int = 4) -> None:
        self._dim = dim
        self._rows = np.zeros((capacity, dim), dtype=np.float32)
        self._keys = np.zeros(capacity, dtype=np.int64)
        self._row_of: dict[int, int] = {}

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._dim

    def __len__(self) -> int:
        return len(self._row_of)

    def __contains__(self, key: int) -> bool:
        return key in self._row_of

    @property
    def keys(self) -> NDArray[np.int64]:
        """The keys in row order; a view that the next write may change."""
        return self._keys[: len(self)]

    @property
    def matrix(self) -> Vectors:
        """The vectors in row order, shape (len, dim); a view that the next write may change."""
        return self._rows[: len(self)]

    def add(self, keys: Sequence[int] | NDArray[np.int64], vectors: Vectors) -> None:
        """Stores or replaces."""
        rows = checked(vectors, len(keys), self._dim)
        self._reserve(len(self) + len(keys))
        for key, row in zip(keys, rows, strict=True):
            at = self._row_of.setdefault(int(key), len(self._row_of))
            self._keys[at] = key
            self._rows[at] = row

    def remove(self, keys: Sequence[int] | NDArray[np.int64]) -> int:
        """Forgets keys."""
        gone = 0
        for key in keys:
            at = self._row_of.pop(int(key), None)
            if at is None:
                continue
            gone += 1
            last = len(self._row_of)
            if at != last:
                moved = int(self._keys[last])
                self._keys[at], self._rows[at] = moved, self._rows[last]
                self._row_of[moved] = at
        return gone

    def search(self, vector: Vectors, k: int) -> Hits:
        """The k nearest; ties go to the lower key."""
        scores = self.matrix @ np.asarray(vector, dtype=np.float32)
        k = min(k, len(scores))
        top = largest(scores, k)
        top = top[np.lexsort((self._keys[top], -scores[top]))]
        return Hits(self._keys[top], scores[top])

    def save(self, path: Path) -> None:
        """Writes keys and vectors."""
        buffer = io.BytesIO()
        np.savez(buffer, keys=self.keys, vectors=self.matrix)
        temporary = written(path)
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> ExactIndex:
        """Reads a snapshot."""
        with np.load(path, allow_pickle=False) as stored:
            keys, vectors = stored["keys"], stored["vectors"]
        index = cls(vectors.shape[1], capacity=max(64, len(keys)))
        index.add(keys, vectors)
        return index

    def _reserve(self, count: int) -> None:
        if count <= len(self._keys):
            return
        capacity = max(count, 2 * len(self._keys))
        rows = np.zeros((capacity, self._dim), dtype=np.float32)
        keys = np.zeros(capacity, dtype=np.int64)
        rows[: len(self)], keys[: len(self)] = self.matrix, self.keys
        self._rows, self._keys = rows, keys


def largest(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Where the `k` largest are, in no order.

    The k largest lie in the k blocks with the largest maxima, so that little is left to partition.
    """
    if not 0 < k < len(scores):
        return np.arange(len(scores))[: max(k, 0)]
    blocks = len(scores) // _BLOCK
    if blocks <= 2 * k:
        return np.argpartition(scores, len(scores) - k)[-k:]
    whole = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK)
    best = np.argpartition(whole.max(axis=1), blocks - k)[-k:]
    places = (best[:, None] * _BLOCK + np.arange(_BLOCK)[None, :]).ravel()
    places = np.concatenate([places, np.arange(blocks * _BLOCK, len(scores))])
    return np.asarray(places[np.argpartition(scores[places], len(places) - k)[-k:]])
