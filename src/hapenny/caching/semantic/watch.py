"""The semantic layer where it only watches: what it would have answered, and how far its evidence has come.

It embeds with hashed words, asks no judge and keeps its own memory, so that it costs nothing but a little processor
time: what it finds is a lower bound of what the layer finds with a better embedder and a judge. Verdicts on answers
come from their text and vectors alone; what these leave open counts as different.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from hapenny.caching.consent import CONSENT
from hapenny.caching.keys import Keys, uncacheable
from hapenny.caching.options import SEMANTIC_STAGE
from hapenny.caching.semantic.cache import Lookup, SemanticCache
from hapenny.caching.semantic.decider import Promise
from hapenny.caching.semantic.stage import SemanticDecision, asked, caution, namespace, part_of
from hapenny.caching.semantic.terms import read
from hapenny.caching.stored import Stored
from hapenny.core.events import TextDelta, Tokens
from hapenny.core.exchange import Exchange
from hapenny.core.shape import BRIEF
from hapenny.core.stage import Ask, Stage
from hapenny.core.watching import Sampler
from hapenny.vectors import Embedder


class SemanticWatch(Stage, spec=SEMANTIC_STAGE):
    """Looks up and learns as the layer would, and serves nothing."""

    needs = BRIEF

    def __init__(
        self,
        cache: SemanticCache,
        keys: Keys,
        promise: Promise,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        embedder: Embedder,
        sampler: Sampler,
        *,
        ttl: float,
        any_temperature: bool,
    ) -> None:
        """`spawn` runs work off the path; `any_temperature`: the route's consent, without which what would be saved is
        told apart."""
        self._cache, self._keys, self._promise, self._spawn = cache, keys, promise, spawn
        self._embedder, self._sampler, self._ttl, self._consent = embedder, sampler, ttl, any_temperature

    async def decide(self, exchange: Exchange, ask: Ask) -> SemanticDecision | None:
        """None for what may not be cached or is no short text question, or is not drawn."""
        if exchange.background or exchange.context.cache_control or uncacheable(exchange, any_temperature=True):
            return None
        question = asked(exchange.request)
        weight = self._sampler.weight(question) if question is not None else 0
        if question is None or not weight:
            return None
        part = part_of(exchange)
        decider = self._cache.decider(part, self._promise)
        self._cache.policy(part, exchange.policy, exchange.original.model)
        vector = (await self._embedder.embed([question]))[0]
        tenant = None if self._keys.shared else exchange.context.tenant
        lookup = self._cache.look(
            namespace(self._keys, exchange), part, question, read(question), vector, decider,
            tenant=tenant, max_error=caution(exchange),
        )  # fmt: skip
        exchange.on_end(partial(self._ended, exchange, lookup))  # also of would-be hits: here their truth costs nothing
        looked = lookup.looked
        return SemanticDecision(
            reason=looked.reason,
            action=looked.action,
            score=looked.score,
            error=looked.error,
            similarity=looked.candidate.similarity if looked.candidate is not None else 0.0,
            spared=lookup.entry is not None,
            weight=weight,
            label="" if self._consent or exchange.request.parameters.temperature == 0 else CONSENT,
        )

    def _ended(self, exchange: Exchange, lookup: Lookup) -> None:
        """Learns from whole answers alone."""
        text = exchange.output
        if not exchange.delivered or exchange.failure is not None or exchange.stopped != "end_turn" or not text:
            return
        adopted = exchange.adopted
        model = adopted.target.model if adopted is not None else exchange.answer.model
        stored = Stored((TextDelta(text),), Tokens(), model, exchange.context.tenant)
        self._spawn(self._cache.learn(exchange, lookup, stored, text, size=len(text), ttl=self._ttl, tags=()))
