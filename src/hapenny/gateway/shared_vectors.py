"""Vectors of one request's texts, by text: the cache, the search and whoever else asks share one embedding.

Theory of operation. Who asks for a text first has it embedded; who asks for it meanwhile waits for the same vector. If
the first is cancelled or fails, the next one asks in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hapenny.core.notes import Note

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float32]


class SharedVectors:
    """Of one request and one embedder."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, asyncio.Future[Vectors | None]] = {}

    async def of(self, texts: Sequence[str], embed: Callable[[list[str]], Awaitable[Vectors]]) -> Vectors:
        """Unit vectors, one a text. Raises what `embed` raises."""
        while True:
            new = [text for text in dict.fromkeys(texts) if text not in self._known]
            if new:
                await self._embed(new, embed)
            waits = [future for text in texts if not (future := self._known[text]).done()]
            if waits:
                await asyncio.wait(waits)
            vectors = [self._known[text].result() for text in texts if text in self._known]
            whole = [row for row in vectors if row is not None]
            if len(whole) == len(texts):
                return np.stack(whole)

    async def _embed(self, texts: list[str], embed: Callable[[list[str]], Awaitable[Vectors]]) -> None:
        loop = asyncio.get_running_loop()
        mine = {text: loop.create_future() for text in texts}
        self._known.update(mine)
        try:
            rows = await embed(texts)
        except BaseException:
            for text, future in mine.items():
                del self._known[text]
                future.set_result(None)
            raise
        for future, row in zip(mine.values(), rows, strict=True):
            future.set_result(row)


PAID: Note[SharedVectors] = Note("vectors of the paid embedder", travels=True)
LOCAL: Note[SharedVectors] = Note("vectors of the local embedder", travels=True)
