"""Embedding calls under way at once, gathered into few larger ones.

A call that finds a place free goes at once; what comes while all are taken goes together with the next. Nothing ever
waits for company, so that an idle gateway embeds as fast as without.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.guard import Guard
from hapenny.throughput.microbatch import MicroBatcher, MicroBatchSpec, QueueFull
from hapenny.vectors.embedder import Embedder, Vectors

CHARS_PER_TOKEN = 4
SPEC = MicroBatchSpec(window_s=0.0, places=2)


class GatheredEmbedder:
    """An `Embedder` whose calls share batches.

    Args:
        embedder: does the work, off the loop.
        clock: the deployment's.
        spec: batches in flight, and the largest one by calls and tokens.
    """

    def __init__(self, embedder: Embedder, clock: Clock, spec: MicroBatchSpec = SPEC) -> None:
        self._embedder = embedder
        self.batcher: MicroBatcher[tuple[str, ...], Vectors] = MicroBatcher(clock, self._together, _tokens, spec)

    @property
    def guard(self) -> Guard:
        """Of the batches."""
        return self.batcher.guard

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def dim(self) -> int:
        return self._embedder.dim

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As in `Embedder`.

        Raises:
            Failure: `overloaded`, if more calls wait than the queue holds.
        """
        try:
            return await self.batcher(tuple(texts))
        except QueueFull as full:
            raise Failure("overloaded", "too many texts wait to be embedded", retry_after=1.0) from full

    async def _together(self, calls: Sequence[tuple[str, ...]]) -> list[Vectors]:
        vectors = await self._embedder.embed([text for texts in calls for text in texts])
        ends = np.cumsum([len(texts) for texts in calls])
        return np.split(vectors, ends[:-1])


def _tokens(texts: tuple[str, ...]) -> int:
    return sum(len(text) // CHARS_PER_TOKEN + 1 for text in texts)
