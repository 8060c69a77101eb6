"""Makes and opens the vector index of a shape: all dimensions (`compact`), or fewer with rescoring (`reduced`)."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np

from hapenny.vectors.compact import CompactIndex, Shape
from hapenny.vectors.reduced import ReducedIndex

ShapedIndex: TypeAlias = "CompactIndex | ReducedIndex"


def make_index(dim: int, shape: Shape) -> ShapedIndex:
    """An empty index for vectors of length `dim`."""
    if 0 < shape.dims < dim:
        return ReducedIndex(dim, shape.dims, shape=shape)
    return CompactIndex(dim, shape)


def load_index(path: Path, dim: int) -> ShapedIndex:
    """Reads a snapshot of either kind."""
    with np.load(path, allow_pickle=False) as stored:
        reduced = "basis" in stored.files
    return ReducedIndex.load(path, dim) if reduced else CompactIndex.load(path, dim)
