"""An embedder that plays back the vectors of texts that were embedded before, and records those that were not.

For runs in virtual time: the vectors of a workload are computed once, and further runs over it measure the gateway
alone. What is recorded is the caller's to keep.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hapenny.vectors.embedder import Embedder, Vectors


class RecordedEmbedder:
    """Has the name and the vectors of `inner`.

    Args:
        inner: computes what is not recorded.
        vectors: by text; those of new texts are added. It grows with each distinct text.
    """

    def __init__(self, inner: Embedder, vectors: dict[str, NDArray[np.float32]]) -> None:
        self._inner = inner
        self._vectors = vectors

    @property
    def name(self) -> str:
        """The inner embedder's name."""
        return self._inner.name

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._inner.dim

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (n, dim)."""
        vectors = self._vectors
        unknown = [text for text in dict.fromkeys(texts) if text not in vectors]
        if unknown:
            vectors.update(zip(unknown, await self._inner.embed(unknown), strict=True))
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        return np.stack([vectors[text] for text in texts])
