"""Fewer dimensions to find candidates, full vectors to order them.

Principal components (Jolliffe, "Principal Component Analysis", 2002) of the stored vectors, 8 bits each, scanned for
`oversample * k` candidates; those are scored again with half-precision vectors, which may live on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from hapenny.vectors.compact import NOTHING, CompactIndex, Mask, Shape
from hapenny.vectors.embedder import Vectors, unit
from hapenny.vectors.index import Hits, checked, written


class ReducedIndex:
    """`dim` components kept as `kept` 8-bit ones. `shape` may be any kind; the default scans."""

    def __init__(self, dim: int, kept: int = 128, *, oversample: int = 10, shape: Shape | None = None) -> None:
        self._dim = dim
        self.kept = kept
        self.oversample = oversample
        self.shape = msgspec.structs.replace(shape or Shape(kind="sq8"), dims=kept)
        self._inner = CompactIndex(kept, msgspec.structs.replace(self.shape, dims=0))
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

    @property
    def dead(self) -> int:
        """Removed vectors that still take memory."""
        return self._inner.dead

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

    def search(self, vector: Vectors, k: int, only: Mask | None = None, effort: int | None = None) -> Hits:
        """The `k` nearest of the candidates, by cosine of the full vectors."""
        if self._basis is None or k <= 0:
            return NOTHING
        query = np.asarray(vector, np.float32)
        nearest = self._inner.search(self._project(query[None, :])[0], self.oversample * k, only, effort)
        if not len(nearest.keys):
            return NOTHING
        slots = np.array([self._slot[int(key)] for key in nearest.keys])
        # Not by BLAS: for so little work its threads only wait for each other.
        scores = np.einsum("ij,j->i", self._full[slots].astype(np.float32), query)
        order = np.argsort(-scores, kind="stable")[:k]
        return Hits(nearest.keys[order], scores[order])

    def vectors(self, keys: Sequence[int] | NDArray[np.int64]) -> Vectors:
        """The full vectors of known keys, in half precision's accuracy."""
        slots = [self._slot[int(key)] for key in keys]
        return np.asarray(self._full[slots], np.float32) if slots else np.empty((0, self._dim), np.float32)

    def save(self, path: Path) -> None:
        """Writes a snapshot file, atomically."""
        self.compact()
        keys = np.array(list(self._slot), np.int64)
        basis = self._basis if self._basis is not None else np.empty((0, 0), np.float32)
        shape = np.frombuffer(msgspec.json.encode(self.shape), np.uint8)
        temporary = written(path)
        with temporary.open("wb") as file:
            np.savez(file, keys=keys, full=self._full, basis=basis, oversample=self.oversample, shape=shape)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, dim: int) -> ReducedIndex:
        """Reads a snapshot; the short vectors are made anew from the full ones."""
        with np.load(path, allow_pickle=False) as stored:
            shape = msgspec.json.decode(stored["shape"].tobytes(), type=Shape)
            made = cls(dim, shape.dims, oversample=int(stored["oversample"]), shape=shape)
            keys, full, basis = stored["keys"], stored["full"], stored["basis"]
        if len(keys):
            made._basis = np.asarray(basis, np.float32)
            made.add(keys, np.asarray(full, np.float32))
        return made

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
        centred = sample - sample.mean(axis=0)
        _, directions = np.linalg.eigh(centred.T @ centred)
        self._basis = np.ascontiguousarray(directions[:, ::-1][:, : self.kept], np.float32)

    def _project(self, rows: Vectors) -> Vectors:
        assert self._basis is not None
        # Not centred: inner products of projections then approximate inner products of the originals.
        return unit(rows @ self._basis)
