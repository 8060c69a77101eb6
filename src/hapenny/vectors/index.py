"""The `Index` contract: integer keys, unit vectors, cosine scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hapenny.vectors.embedder import Vectors


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
