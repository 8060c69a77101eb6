"""A dispatcher for each target: its endpoints with their quotas and limits, built from what is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from hapenny.catalog import resolve as default_resolve
from hapenny.core.answer import Answer
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Target
from hapenny.core.guard import Guard
from hapenny.stores.counters import Counters
from hapenny.throughput.balance import Balancer
from hapenny.throughput.dispatch import Dispatcher
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import Gate
from hapenny.throughput.hedge import Hedger
from hapenny.throughput.imported import Place, account_quota, of_file
from hapenny.throughput.options import NOTHING_SAID, EndpointOptions, ModelOptions, ThroughputOptions
from hapenny.throughput.pools import Pool, QuotaSpec
from hapenny.throughput.quota import Quota
from hapenny.throughput.regions import Resolve, endpoints
from hapenny.throughput.retry import RetryBudget


class Route:
    """A dispatcher of one target, and where each of its endpoints calls."""

    def __init__(
        self, dispatcher: Dispatcher[tuple[Answer, Exchange]], targets: dict[str, Target], affinity: bool
    ) -> None:
        self.dispatcher = dispatcher
        self.targets = targets
        self.affinity = affinity
        self.prefixes = affinity or any(endpoint.limit is not None for endpoint in dispatcher.gate.endpoints)
        """Whether it matters which prompts begin alike: for servers that keep a prefix cache."""


class Dispatchers:
    """Dispatchers by target, built at first use; at most `most` are kept.

    `burndown`: quota units an output token of a model costs where the quota does not say (the catalog's card).
    `resolve`: the card of a model, at the prices of this deployment. `timed`: some answers have a deadline, so how fast
    places are is measured, and calls with a deadline may be hedged.
    """

    def __init__(
        self,
        options: ThroughputOptions,
        counters: Counters,
        clock: Clock,
        *,
        burndown: Callable[[str], float] = lambda model: 1.0,
        resolve: Resolve = default_resolve,
        most: int = 4096,
        timed: bool = False,
    ) -> None:
        self.options = options
        self._counters = counters
        self._clock = clock
        self._most = most
        self._timed = timed
        self._burndown = burndown
        self._resolve = resolve
        self._budget = RetryBudget(options.retry_share, initial=5.0)
        self._routes: dict[Target, Route] = {}
        self.guard = Guard("queues in front of models", clock)
        self.imported: dict[Place, QuotaSpec] = of_file(options.quotas.file) if options.quotas.file else {}
        """The account's own quotas, which hold where the configuration says nothing."""

    def of(self, target: Target) -> Route:
        """The dispatcher for calls to `target`."""
        route = self._routes.pop(target, None)
        if route is None:
            if len(self._routes) >= self._most:  # unused for longest: made-up names push out no other
                self._routes.pop(next(iter(self._routes)))
            route = self._build(target)
        self._routes[target] = route
        return route

    def predicted(self, target: Target, tokens: int | None, *, streamed: bool = True) -> float | None:
        """Seconds until an answer of so many tokens would be there, from the fastest place of the target's; None: not
        measured of late."""
        route = self._routes.get(target)
        if route is None:
            return None
        now = self._clock.now()
        times = [
            seconds
            for endpoint in route.dispatcher.gate.endpoints
            if endpoint.breaker.state == "closed"
            and (seconds := endpoint.speed.predicted(now, tokens, streamed=streamed)) is not None
        ]
        return min(times, default=None)

    def update_quotas(self, quotas: Mapping[Place, QuotaSpec]) -> None:
        """The account's quotas, as they have just been read: in force at once, also for routes in use."""
        self.imported.update(quotas)
        for target, route in self._routes.items():
            model = self.options.models.get(target.model, NOTHING_SAID)
            for place, endpoint in zip(self._places(target, model), route.dispatcher.gate.endpoints, strict=True):
                if endpoint.quota is not None:
                    endpoint.quota.update(self._quota(place, model, route.targets[place.name]))
            route.dispatcher.gate.wake()

    def _quota(self, place: EndpointOptions, model: ModelOptions, there: Target) -> QuotaSpec:
        """The quota of a place: its own, the model's, the account's; none known otherwise."""
        if place.quota is not None:
            return place.quota
        if there.endpoint:
            return model.quota
        return account_quota(
            self.imported, model.quota, model=there.model, region=there.region, service_tier=there.service_tier
        )

    def sells(self, model: str, service_tier: str) -> bool:
        """Whether `model` may be had at `service_tier`: yes, where its prices are not known."""
        card = self._resolve(model)
        return card is None or card.sells(service_tier)

    def routes(self) -> dict[Target, Route]:
        """Those in use, for metrics and the console."""
        return dict(self._routes)

    def endpoints(self) -> Iterator[tuple[Target, Endpoint]]:
        """Each endpoint of the routes in use, and what it is asked for."""
        for target, route in self.routes().items():
            for endpoint in route.dispatcher.gate.endpoints:
                yield target, endpoint

    def _by_region(self, target: Target, model: ModelOptions) -> tuple[EndpointOptions, ...]:
        card, policy = self._resolve(target.model), model.regions
        if card is None or policy is None:
            return ()
        if target.service_tier not in ("standard", "provisioned"):  # asked for by name: that tier and no other
            policy = msgspec.structs.replace(policy, tiers=(target.service_tier,))
        return endpoints(card, policy, self._resolve)

    def _places(self, target: Target, model: ModelOptions) -> tuple[EndpointOptions, ...]:
        places = model.endpoints or self._by_region(target, model)
        return places or (EndpointOptions(name=target.region or target.backend or "only"),)

    def _build(self, target: Target) -> Route:
        model = self.options.models.get(target.model, NOTHING_SAID)
        places = self._places(target, model)
        targets = {place.name: place.target(target) for place in places}
        endpoints = []
        for place in places:
            there = targets[place.name]
            pool = Pool(there.model, there.region, place.account, there.endpoint or there.backend, there.service_tier)
            limit = place.limit or model.limit
            endpoints.append(
                Endpoint(
                    place.name,
                    self._clock,
                    quota=Quota(
                        pool,
                        self._quota(place, model, there),
                        self._counters,
                        self._clock,
                        burndown=self._burndown(target.model),
                        backoff=self.options.retry,
                    ),
                    limit=limit.build(self._clock) if limit is not None else None,
                    breaker=self.options.breaker,
                    cost_factor=place.cost_factor,
                    server_priority=place.server_priority,
                    patient=there.service_tier == "flex",
                )
            )
        if self._timed:
            for endpoint in endpoints:
                endpoint.timed = True
        balancer = Balancer(self._clock, affinity=model.affinity)
        gate = Gate(self._clock, endpoints, self.options.gate, balancer=balancer, guard=self.guard)
        dispatcher: Dispatcher[tuple[Answer, Exchange]] = Dispatcher(
            self._clock,
            gate,
            backoff=self.options.retry,
            budget=self._budget,
            hedger=Hedger(self.options.hedge) if model.hedge or self._timed else None,
            hedges=model.hedge,
            release=lambda begun: begun[0].close(),
            silent=lambda begun: not begun[0].begun,
        )
        return Route(dispatcher, targets, model.affinity)
