"""Which stages stand on the deck, in which order, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from hapenny.caching.exact import Answers, ExactStage, Refresh
from hapenny.caching.flights import FlightStage
from hapenny.caching.keys import Keys
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
        heir: Deck | None = None,
    ) -> None:
        self._options = config.stages
        self._catalog = catalog
        self._names = names
        self._secret = secret
        self._defaults = defaults
        self._size = size
        self._refresh = refresh
        self.answers: Answers = (
            heir.answers if heir is not None else Store(clock, int(config.stages.exact.max_mb * 1_000_000))
        )
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
            ),
            FlightStage(keys, any_temperature=route.cache_any_temperature, max_flights=options.flights.max_flights),
            TierStage(self._names, options.tiers, score),
            ParameterStage(self._catalog.resolve, options.parameters, self._defaults),
            ThroughputStage(self.routes, size=self._size, most_output=self._most_output),
        ]

    def _most_output(self, model: str) -> int | None:
        card = self._catalog.resolve(model)
        return card.max_output if card is not None else None
