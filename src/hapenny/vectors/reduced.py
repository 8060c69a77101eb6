"""Fewer dimensions to find candidates, full vectors to order them.

Principal components (Jolliffe, "Principal Component Analysis", 2002) of the stored vectors, 8 bits each, scanned for
`oversample * k` candidates; those are scored again with half-precision vectors, which may live on disk.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hapenny.vectors.compact import NOTHING, CompactIndex, Mask, Shape
from hapenny.vectors.embedder import Vectors, unit
from hapenny.vectors.index import Hits, checked


class ReducedIndex:
    """`dim` components kept as `kept` 8-bit ones. `shape` may be any kind; the default scans."""

    def __init__(self, dim: int, kept: int = 128, *, oversample: int = 10, shape: Shape | None = None) -> None:
        self._dim = dim
        self.kept = kept
        self.oversample = oversample
        self._inner = CompactIndex(kept, shape or Shape(kind="sq8"))
        self._mean = np.zeros(dim, np.float32)
        self._basis: Vectors | None = None
        self._full: NDArray[np.float16] = np.empty((0, dim), np.float16)
        self._slot: dict[int, int] = {}

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._dim

    def __len__(self) -> int:
        return len(self._inner)

    def __contains__(self, key: int) -> bool:
        return key in self._inner

    def add(self, keys: Sequence[int] | NDArray[np.int64], vectors: Vectors) -> None:
        """Stores or replaces; the first call fits the components."""
        rows = checked(vectors, len(keys), self._dim)
        if not len(rows):
            return
        if self._basis is None:
            self._fit(rows)
        start = len(self._full)
        self._full = np.concatenate([self._full, rows.astype(np.float16)])
        self._slot.update((int(key), start + i) for i, key in enumerate(keys))
        self._inner.add(keys, self._project(rows))

    def remove(self, keys: Sequence[int] | NDArray[np.int64]) -> int:
        """Masks keys; memory comes back with `compact`."""
        return self._inner.remove(keys)

    def search(self, vector: Vectors, k: int, only: Mask | None = None) -> Hits:
        """The `k` nearest of the candidates, by cosine of the full vectors."""
        if self._basis is None or k <= 0:
            return NOTHING
        query = np.asarray(vector, np.float32)
        found = self._inner.search(self._project(query[None, :])[0], self.oversample * k, only)
        if not len(found.keys):
            return NOTHING
        slots = np.array([self._slot[int(key)] for key in found.keys])
        # Not by BLAS: for so little work its threads only wait for each other.
        scores = np.einsum("ij,j->i", self._full[slots].astype(np.float32), query)
        order = np.argsort(-scores, kind="stable")[:k]
        return Hits(found.keys[order], scores[order])

    def compact(self) -> None:
        """Gives the memory of removed vectors back."""
        self._inner.compact()
        keys = [key for key in self._slot if key in self._inner]
        self._full = self._full[[self._slot[key] for key in keys]]
        self._slot = {key: i for i, key in enumerate(keys)}

    def memory(self) -> int:
        """Bytes that must be in memory: codes and components. The vectors for rescoring add `on_disk`."""
        return self._inner.memory() + (self._basis.nbytes if self._basis is not None else 0)

    @property
    def on_disk(self) -> int:
        """Bytes of the half-precision vectors."""
        return int(self._full.nbytes)

    def _fit(self, rows: Vectors) -> None:
        sample = rows[:: max(1, len(rows) // 20_000)]
        self._mean = sample.mean(axis=0)
        centred = sample - self._mean
        _, directions = np.linalg.eigh(centred.T @ centred)
        self._basis = np.ascontiguousarray(directions[:, ::-1][:, : self.kept], np.float32)

    def _project(self, rows: Vectors) -> Vectors:
        assert self._basis is not None
        # Not centred: inner products of projections then approximate inner products of the originals.
        return unit(rows @ self._basis)
