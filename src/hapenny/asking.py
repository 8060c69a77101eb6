"""How stages call models (`core.stage.Ask`): every call is tagged and on the exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hapenny.backends.contract import Backend
from hapenny.backends.embedding import ApiEmbedder, style_of
from hapenny.backends.rerank import Reranker
from hapenny.catalog import Catalog
from hapenny.config import Config
from hapenny.core.answer import Answer
from hapenny.core.calls import Call
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Exchange, Purpose, Target
from hapenny.core.messages import Request
from hapenny.core.reranking import RerankRequest, estimated
from hapenny.core.stage import Onward
from hapenny.telemetry.books import UNBILLED
from hapenny.vectors import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def paid_embedder(config: Config, catalog: Catalog, backends: Mapping[str, Backend]) -> ApiEmbedder | None:
    """The embedding model behind an API that `stages.semantic.embedder` names, if it names one."""
    wanted = config.embedders.get(config.stages.semantic.embedder)
    if wanted is None:
        return None
    name = config.backend_of(wanted.backend)
    card = catalog.resolve(wanted.model)
    dim = wanted.dim or (card.dimensions if card is not None else None) or 0
    style = style_of(wanted.model, config.backends[name].kind)
    return ApiEmbedder(backends[name], Target(wanted.model, name), dim, style)


class Asking:
    """Calls through `call`; vectors from `embedder`, which is asked for when it is first used: it runs in this process,
    costs nothing, and loads much; or from the paid `api`, where no local model is named; relevance from `rerankers` by
    name."""

    def __init__(
        self,
        call: Onward,
        embedder: Callable[[], Embedder],
        rerankers: Mapping[str, Reranker] | None = None,
        api: ApiEmbedder | None = None,
    ) -> None:
        self._call = call
        self._embedder = embedder
        self._api = api
        self._rerankers = rerankers or {}

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
        """Unit vectors, one a text; a paid call is booked to `technique`. Raises `Failure`: the provider's."""
        api = self._api
        if api is None or (model is not None and model != api.name):
            return await self._embedder().embed(texts)
        call = exchange.begin_call(api.target, "embed", technique)
        call.request = None  # its tokens are counted from the texts, not from the request
        with _paid(exchange, call, api.guess(texts)):
            vectors, tokens = await api.embed(texts, exchange.limits)
            if tokens is not None:
                call.tokens, call.provenance = tokens, "reported"
        return vectors

    async def rerank(
        self, exchange: Exchange, query: str, documents: Sequence[str], *, technique: str, model: str | None = None
    ) -> list[float]:
        """Scores from the reranker named `model`, or the first one; the call is booked to `technique`.

        Raises:
            Failure: the provider's, or `unavailable` when there is none of that name.
        """
        reranker = self._rerankers.get(model or next(iter(self._rerankers), ""))
        if reranker is None:
            raise Failure("unavailable", "no reranker is configured", fix="name one under `rerankers`")
        target = reranker.target
        asked = RerankRequest(model=target.model, query=query, documents=tuple(documents))
        call = exchange.begin_call(target, "rerank", technique)
        with _paid(exchange, call, estimated(asked)):
            found = await reranker.rerank(asked, exchange.limits.finish_by)
            call.tokens, call.provenance = found.tokens, "reported" if found.reported else "estimated"
        return list(found.scores)


@contextmanager
def _paid(exchange: Exchange, call: Call, guess: Tokens) -> Iterator[None]:
    """Ends a call; `guess` is what may have been billed where no usage is reported."""
    call.tokens, call.provenance = guess, "estimated"
    try:
        yield
    except Failure as failure:
        if failure.kind in UNBILLED:
            call.tokens = None
        exchange.end_call(call, "failed", failure)
        raise
    except BaseException:
        exchange.end_call(call, "abandoned")
        raise
    exchange.end_call(call, "complete")
