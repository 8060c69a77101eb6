"""The `Embedder` contract: text in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into unit-length vectors.

    Vectors of two embedders with different names are never comparable: every stored vector is keyed by `name`.
    """

    @property
    def name(self) -> str:
        """Model and quantisation, e.g. `all-minilm-l6-v2/int8`."""

    @property
    def dim(self) -> int:
        """Length of each vector."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Float32 unit vectors of shape (len(texts), dim), in the order of `texts`. Shape (0, dim) for no texts."""


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Rows scaled to length 1, as float32; rows of zeros stay zeros."""
    rows = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, 1e-12), dtype=np.float32)
