"""The embedder of a deployment by its configured name, loaded on first use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hapenny.core.clock import Clock
from hapenny.vectors.embedder import Embedder, Vectors
from hapenny.vectors.hashed import HashedEmbedder
from hapenny.vectors.recorded import RecordedEmbedder


class ChosenEmbedder:
    """`local`: MiniLM where it is set up, hashed features where not; `hashed`: always those."""

    def __init__(self, kind: str, clock: Clock) -> None:
        """ValueError for another kind."""
        if kind not in ("local", "hashed"):
            raise ValueError(f"embedder: {kind!r}; use local or hashed")
        self._kind = kind
        self._clock = clock
        self._inner: Embedder | None = None

    @property
    def inner(self) -> Embedder:
        """The embedder itself."""
        if self._inner is None:
            self._inner = HashedEmbedder()
            if self._kind == "local":
                from hapenny.vectors.minilm import MiniLM
                from hapenny.vectors.weights import ModelMissing, find_model

                try:
                    find_model()
                    import onnxruntime  # noqa: F401
                    import tokenizers  # noqa: F401

                    self._inner = MiniLM(self._clock)
                except (ModelMissing, ImportError):
                    pass  # `name` tells which one is in use
        return self._inner

    def record(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        """From now on plays back the vectors of texts that are in `vectors`, and adds those of others."""
        self._inner = RecordedEmbedder(self.inner, vectors)

    @property
    def name(self) -> str:
        """The inner embedder's name."""
        return self.inner.name

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self.inner.dim

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (n, dim)."""
        return await self.inner.embed(texts)
