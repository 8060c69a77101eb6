"""What stages call models with: answers, vectors and relevance, every call tagged and on the exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec.structs import replace

from hapenny.admission.gate import Gate
from hapenny.backends.contract import Backend
from hapenny.backends.embedding import ApiEmbedder
from hapenny.backends.guardrail import GuardClient
from hapenny.backends.kinds import KINDS
from hapenny.backends.rerank import Reranker
from hapenny.caching.options import SEMANTIC_STAGE
from hapenny.catalog import Catalog
from hapenny.config import Config, ConfigError
from hapenny.core.answer import Answer
from hapenny.core.calls import Call
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Exchange, Purpose, Target
from hapenny.core.guardrails import GuardRequest, Verdict
from hapenny.core.messages import Request
from hapenny.core.reranking import RerankRequest, estimated
from hapenny.core.stage import Onward
from hapenny.gateway.shared_vectors import LOCAL, PAID, SharedVectors
from hapenny.telemetry.books import UNBILLED
from hapenny.throughput.microbatch import MicroBatcher, MicroBatchSpec, QueueFull
from hapenny.vectors import Embedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

GATHER = MicroBatchSpec(window_s=0.0, places=4)
"""Paid embedding: four calls under way; what comes meanwhile goes together. Nothing ever waits for company."""
TEXT_MARKUP = 16
"""Tokens that an embedder or reranker may put around each text."""
_ITS_OWN_FAULT = frozenset({"invalid_request", "too_large", "context_overflow", "model_error"})
"""Failures that one text of a batch may have brought on all."""


def paid_embedder(
    config: Config, catalog: Catalog, backends: Mapping[str, Backend], clock: Clock, gate: Gate | None = None
) -> PaidEmbedding | None:
    """The embedding model behind an API that `stages.semantic.embedder` names, if it names one."""
    wanted = config.embedders.get(config.stages[SEMANTIC_STAGE].embedder)
    if wanted is None:
        return None
    name = config.backend_of(wanted.backend)
    card = catalog.resolve(wanted.model)
    dim = wanted.dim or (card.dimensions if card is not None else None) or 0
    embeds = KINDS[config.backends[name].kind].embeds
    if embeds is None:
        problem = f"$.embedders: {name!r} makes no vectors. Fix: a backend of kind bedrock or openai"
        raise ConfigError([problem])
    tier = "standard" if wanted.hourly_usd is None else "owned"
    target = Target(wanted.model, name, service_tier=tier)
    return PaidEmbedding(ApiEmbedder(backends[name], target, dim, embeds(wanted.model)), clock, gate)


class _Wanted(NamedTuple):
    """Vectors that somebody waits for."""

    exchange: Exchange
    technique: str
    texts: tuple[str, ...]


class PaidEmbedding:
    """Vectors of a paid model. Requests under way share calls where the API takes several texts: such a call is booked
    whole to the request that was first in it, as a flight is to its starter."""

    def __init__(self, api: ApiEmbedder, clock: Clock, gate: Gate | None = None) -> None:
        self.api = api
        self._gate = gate
        self.batcher: MicroBatcher[_Wanted, NDArray[np.float32]] = MicroBatcher(
            clock, self._together, lambda each: api.guess(each.texts).input, GATHER, _its_own_fault
        )

    async def embed(self, exchange: Exchange, texts: Sequence[str], technique: str) -> NDArray[np.float32]:
        """Unit vectors, one a text. Raises `Failure`: the provider's, or `overloaded`."""
        wanted = _Wanted(exchange, technique, tuple(texts))
        if not self.api.batches:
            return (await self._together([wanted]))[0]
        try:
            return await self.batcher(wanted)
        except QueueFull:
            raise Failure("overloaded", "too many texts wait to be embedded", retry_after=1.0) from None

    async def _together(self, calls: Sequence[_Wanted]) -> list[NDArray[np.float32]]:
        payer, texts = calls[0].exchange, [text for each in calls for text in each.texts]
        limits = payer.limits.copy()
        for each in calls[1:]:
            limits.extend(each.exchange.limits)
        most = _most(self.api.guess(texts), texts)
        call = await begun(self._gate, payer, self.api.target, "embed", calls[0].technique, most)
        call.request = None  # its tokens are counted from the texts, not from the request
        with paid(payer, call, self.api.guess(texts)):
            vectors, tokens = await self.api.embed(texts, limits)
            if tokens is not None:
                call.tokens, call.provenance = tokens, "reported"
        return np.split(vectors, np.cumsum([len(each.texts) for each in calls])[:-1])


def _its_own_fault(error: Exception) -> bool:
    return not isinstance(error, Failure) or error.personal or error.kind in _ITS_OWN_FAULT


class ModelServices:
    """Implements `core.stage.Ask`.

    Args:
        call: one paid attempt.
        embedder: the local embedder, loaded when it is first used: it costs nothing and loads much.
        rerankers: by name.
        api: the paid embedding model that stands in for the local one where none is named.
        guards: guardrails of providers, by name.
    """

    def __init__(
        self,
        call: Onward,
        embedder: Callable[[], Embedder],
        rerankers: Mapping[str, Reranker] | None = None,
        api: PaidEmbedding | None = None,
        guards: Mapping[str, GuardClient] | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._call = call
        self._embedder = embedder
        self.api = api
        self._rerankers = rerankers or {}
        self._guards = guards or {}
        self._gate = gate

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
        """Unit vectors, one a text. What several stages ask for is embedded once a request, and booked to the first.
        Raises `Failure`: the provider's."""
        api = self.api
        if api is None or (model is not None and model != api.api.name):
            local = self._embedder()
            return await exchange.stage_notes.setdefault(LOCAL, SharedVectors()).of(texts, local.embed)
        paid = api
        return await exchange.stage_notes.setdefault(PAID, SharedVectors()).of(
            texts, lambda new: paid.embed(exchange, new, technique)
        )

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
        most = _most(estimated(asked), documents) if estimated(asked).input else estimated(asked)
        call = await begun(self._gate, exchange, target, "rerank", technique, most)
        with paid(exchange, call, estimated(asked)):
            scores = await reranker.rerank(asked, exchange.limits.finish_by)
            call.tokens, call.provenance = scores.tokens, "reported" if scores.reported else "estimated"
        return list(scores.scores)

    async def guard(
        self, exchange: Exchange, asked: GuardRequest, *, technique: str, model: str, deadline: float
    ) -> Verdict:
        """What the guardrail named `model` says; the call is booked to `technique`. Raises `Failure`."""
        client = self._guards[model]
        call = exchange.begin_call(client.target, "guard", technique)
        call.request = None  # its units are counted from the texts, not from the request
        with paid(exchange, call, client.estimated(asked)):
            verdict = await client.judge(asked, exchange.clock.now() + deadline)
            call.tokens, call.provenance = verdict.tokens, "reported" if verdict.reported else "estimated"
        return verdict


def _most(guess: Tokens, texts: Sequence[str]) -> Tokens:
    """A bound instead of a guess: tokenizers make at most one token of a byte."""
    most = sum(len(text.encode("utf-8", "replace")) + TEXT_MARKUP for text in texts)
    return replace(guess, input=max(2 * guess.input, most))


async def begun(
    gate: Gate | None, exchange: Exchange, target: Target, purpose: Purpose, technique: str, most: Tokens
) -> Call:
    """A call that uses `most` tokens at most, which a budget pays where one holds."""
    held = await gate.reserve_tokens(exchange, target, most) if gate is not None else None
    call = exchange.begin_call(target, purpose, technique)
    if gate is not None and held is not None:
        gate.attach(exchange, call, held)
    return call


@contextmanager
def paid(exchange: Exchange, call: Call, guess: Tokens) -> Iterator[None]:
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
