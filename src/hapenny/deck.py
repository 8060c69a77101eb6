"""Which stages stand on the deck, in which order, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal

from hapenny.caching.admin import CacheAdmin
from hapenny.caching.edge import Edge
from hapenny.caching.exact import Answers, ExactStage, Refresh
from hapenny.caching.flights import FlightStage
from hapenny.caching.keys import Keys
from hapenny.caching.prefix.stage import PrefixStage
from hapenny.caching.prefix.tariffs import of_card
from hapenny.caching.results import Results
from hapenny.caching.semantic.cache import SemanticCache
from hapenny.caching.semantic.decider import Promise
from hapenny.caching.semantic.judging import AnswerJudge
from hapenny.caching.semantic.stage import SemanticStage
from hapenny.caching.store import Store
from hapenny.catalog import Catalog
from hapenny.config import Config, RouteOptions
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Parameters
from hapenny.core.stage import Stage
from hapenny.routing.complexity import score
from hapenny.routing.names import Names
from hapenny.routing.tiers import TierStage
from hapenny.stores.counters import MemoryCounters
from hapenny.throughput.options import Routes
from hapenny.throughput.stage import ThroughputStage
from hapenny.tuning.parameters import ParameterStage
from hapenny.vectors.choose import ChosenEmbedder


class Deck:
    """The stages of a deployment and the stores that outlive a reload.

    Args:
        config: with the options of every stage.
        clock: the deployment's clock.
        catalog: models.
        names: what names mean.
        secret: keys hashes.
        defaults: parameters of configured models.
        size: input tokens of an exchange, an upper bound.
        refresh: answers a stale request again, off its path.
        spawn: runs work off the path.
        count: (model, text) -> estimated tokens.
        heir: a deck whose stored answers and quotas go on.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        catalog: Catalog,
        names: Names,
        secret: bytes,
        defaults: Mapping[Target, Parameters],
        *,
        size: Callable[[Exchange], int],
        refresh: Refresh,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        count: Callable[[str, str], int],
        heir: Deck | None = None,
    ) -> None:
        self._options = config.stages
        self._catalog = catalog
        self._names = names
        self._secret = secret
        self._defaults = defaults
        self._size = size
        self._refresh = refresh
        self._spawn = spawn
        self._count = count
        self.answers: Answers = (
            heir.answers if heir is not None else Store(clock, int(config.stages.exact.max_mb * 1_000_000))
        )
        self.embedder = ChosenEmbedder(config.stages.semantic.embedder, clock)
        self.paraphrases: Answers = (
            heir.paraphrases if heir is not None else Store(clock, int(config.stages.semantic.max_mb * 1_000_000))
        )
        wanted = config.stages.semantic
        self.semantic: SemanticCache = (
            heir.semantic
            if heir is not None and heir._options.semantic == wanted
            else SemanticCache(clock, self.paraphrases, AnswerJudge(self.embedder), embedder=wanted.embedder)
        )
        self.edge: Edge = heir.edge if heir is not None else Edge(clock)
        self.results: Results = heir.results if heir is not None else Results(Keys(secret), self.answers)
        self.admin = CacheAdmin(self.answers, self.semantic, self.paraphrases)
        self.counters: MemoryCounters = heir.counters if heir is not None else MemoryCounters(clock)
        self.routes = Routes(config.stages.throughput, self.counters, clock)

    def keys(self, scope: Literal["user", "tenant"]) -> Keys:
        """The key maker for a scope."""
        return Keys(self._secret, scope)

    def stages(self, route: RouteOptions) -> list[Stage]:
        """The deck in the order of a request's life (design §2)."""
        options = self._options
        keys = self.keys(route.cache_scope)
        return [
            ExactStage(
                self.answers,
                keys,
                ttl=options.exact.ttl_s,
                stale=options.exact.stale_s,
                any_temperature=route.cache_any_temperature,
                refresh=self._refresh if options.exact.stale_s > 0 else None,
                results=self.results,
            ),
            FlightStage(keys, any_temperature=route.cache_any_temperature, max_flights=options.flights.max_flights),
            SemanticStage(
                self.semantic,
                keys,
                Promise(
                    max_error=options.semantic.max_error,
                    max_wrong_hits=options.semantic.max_wrong_hits,
                    confidence=options.semantic.confidence,
                    audit_share=options.semantic.audit_share,
                ),
                self._spawn,
                ttl=options.semantic.ttl_s,
                fixed=options.semantic.similarity,
                any_temperature=route.cache_any_temperature,
            ),
            TierStage(self._names, options.tiers, score),
            ParameterStage(self._catalog.resolve, options.parameters, self._defaults),
            PrefixStage(lambda model: of_card(self._catalog.resolve(model)), self._count, options.prefix),
            ThroughputStage(self.routes, size=self._size, most_output=self._most_output),
        ]

    def _most_output(self, model: str) -> int | None:
        card = self._catalog.resolve(model)
        return card.max_output if card is not None else None
