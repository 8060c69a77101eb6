"""How stages call models (`core.stage.Ask`): every call is tagged and on the exchange."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Purpose, Target
from hapenny.core.messages import Request
from hapenny.core.stage import Onward
from hapenny.vectors import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Asking:
    """Calls through `call`; vectors from `embedder`, which is asked for when it is first used: it runs in this process,
    costs nothing, and loads much."""

    def __init__(self, call: Onward, embedder: Callable[[], Embedder]) -> None:
        self._call = call
        self._embedder = embedder

    async def model(
        self, exchange: Exchange, request: Request, target: Target, *, purpose: Purpose, technique: str
    ) -> Answer:
        """A model's answer, begun, booked to `technique`."""
        branch = exchange.branch(purpose, purpose=purpose, payer=technique)
        branch.request, branch.target = request, target
        return await self._call(branch)

    async def embed(
        self, exchange: Exchange, texts: Sequence[str], *, technique: str, model: str | None = None
    ) -> NDArray[np.float32]:
        """Unit vectors, one a text."""
        return await self._embedder().embed(texts)

    async def rerank(
        self, exchange: Exchange, query: str, documents: Sequence[str], *, technique: str, model: str | None = None
    ) -> list[float]:
        """Scores from the deployment's reranker. Raises `Failure`: none is configured."""
        raise Failure("unavailable", "no reranker is configured")
