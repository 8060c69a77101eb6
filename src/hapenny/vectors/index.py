"""The `Index` contract: integer keys, unit vectors, cosine scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hapenny.vectors.embedder import Vectors

EXACT_UP_TO = 20_000
"""Vectors up to which an exact scan is the better index: 0.3 ms at 10,000 x 384, and never a missed neighbour."""


class Hits(NamedTuple):
    """The nearest keys, best first. `keys`: int64 (k,); `scores`: cosine, float32 (k,)."""

    keys: NDArray[np.int64]
    scores: Vectors


class Index(Protocol):
    """Nearest neighbours by cosine. One writer; a search sees every write that returned before it.

    Vectors must have length 1. Keys are the caller's, 0 to 2**63 - 1. A search returns fewer than `k` hits only when
    fewer vectors are there.
    """

    @property
    def dim(self) -> int:
        """Length of each vector."""

    def __len__(self) -> int: ...

    def __contains__(self, key: int) -> bool: ...

    def add(self, keys: Sequence[int] | NDArray[np.int64], vectors: Vectors) -> None:
        """Stores vectors of shape (len(keys), dim); a key that is there already is replaced."""

    def remove(self, keys: Sequence[int] | NDArray[np.int64]) -> int:
        """Forgets keys; unknown ones are ignored. Returns how many were there."""

    def search(self, vector: Vectors, k: int) -> Hits:
        """The `k` nearest of one vector of shape (dim,)."""

    def save(self, path: Path) -> None:
        """Writes a snapshot file, atomically."""


def open_index(dim: int, path: Path | None = None, *, expected: int = 0) -> Index:
    """An index that scans exactly while small and moves into a graph beyond `EXACT_UP_TO`; read from `path` if given.

    `expected`: vectors to come, so that a large collection is built in the graph from the start. Without the
    `usearch` package it stays exact at any size.
    """
    from hapenny.vectors.growing import GrowingIndex

    return GrowingIndex.load(path) if path is not None else GrowingIndex(dim, expected=expected)


def checked(vectors: Vectors, count: int, dim: int) -> Vectors:
    """`vectors` as contiguous float32 of shape (count, dim), or ValueError."""
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.shape != (count, dim):
        raise ValueError(f"vectors: shape {rows.shape}, expected {(count, dim)}")
    return rows


def written(path: Path) -> Path:
    """The temporary file beside `path` that `save` renames over it: one a process, so that of two that save at once
    the last whole snapshot stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.{os.getpid()}.tmp")
