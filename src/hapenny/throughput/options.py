"""Throughput as configured, and the dispatchers built from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
from msgspec import field

from hapenny.core.answer import Answer
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Target
from hapenny.core.stage_spec import Phase, StageSpec
from hapenny.stores.counters import Counters
from hapenny.throughput.balance import Balancer
from hapenny.throughput.breaker import BreakerSpec
from hapenny.throughput.concurrency import LimitSpec
from hapenny.throughput.dispatch import Dispatcher
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import Gate, GateSpec
from hapenny.throughput.hedge import Hedger, HedgeSpec
from hapenny.throughput.imported import Place, QuotaImport, of_file
from hapenny.throughput.pools import Pool, QuotaSpec
from hapenny.throughput.quota import Quota
from hapenny.throughput.retry import Backoff, RetryBudget


class EndpointOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One more place to call the same model. An empty field is the target's own.

    `profile`: the inference-profile id to call instead of the plain model id. `cost_factor`: price against the cheapest
    endpoint; cheaper ones are used up first. `hourly_usd`: what its capacity costs an hour, where that is paid instead
    of calls. `server_priority`: the server orders by priority itself.
    """

    name: str
    """How it is called in metrics."""
    backend: str = ""
    """Name of a backend."""
    region: str = ""
    """AWS region."""
    service_tier: str = ""
    """standard, priority, flex, reserved, provisioned or owned."""
    endpoint: str = ""
    """Address."""
    profile: str = ""
    account: str = ""
    """Whose quota it is."""
    cost_factor: float = 1.0
    hourly_usd: float | None = None
    server_priority: bool = False
    quota: QuotaSpec | None = None
    limit: LimitSpec | None = None

    def tier(self) -> str:
        """The service tier of calls here, empty for the target's own; `owned` where the hour is paid."""
        paid = self.service_tier in ("provisioned", "reserved")
        return "owned" if self.hourly_usd is not None and not paid else self.service_tier

    def target(self, base: Target) -> Target:
        """`base`, called here."""
        return msgspec.structs.replace(
            base,
            model=self.profile or base.model,
            backend=self.backend or base.backend,
            region=self.region or base.region,
            service_tier=self.tier() or base.service_tier,
            endpoint=self.endpoint or base.endpoint,
        )


Residency = Literal["region", "geography", "anywhere"]


class RegionPolicy(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Where a model may be served.

    `source`: the region called. `residency`: `region` (it alone), `geography` (its geographic profile too), `anywhere`
    (the global profile too). `provisioned`: ARN of provisioned throughput, used first; calls spill from it to on demand
    in the same region; `hourly_usd` is what it costs an hour. `tiers`: service tiers to use, best first; later ones are
    spilled to. `second_endpoint`: name of a backend for the provider's second endpoint family, a quota pool of its own.
    """

    source: str
    residency: Residency = "geography"
    provisioned: str = ""
    hourly_usd: float | None = None
    tiers: tuple[str, ...] = ("standard",)
    second_endpoint: str = ""


class ModelOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One model's quota, concurrency limit and endpoints.

    Without `endpoints` they follow from `regions` and the catalog; without either the target itself is the only one.
    """

    quota: QuotaSpec = field(default_factory=QuotaSpec)
    limit: LimitSpec | None = None
    endpoints: tuple[EndpointOptions, ...] = ()
    regions: RegionPolicy | None = None
    affinity: bool = False
    """Keep equal prefixes on the same server of a pool (vLLM's prefix cache)."""
    hedge: bool = False
    """Ask a second endpoint when the first is late."""

    def __post_init__(self) -> None:
        names = [e.name for e in self.endpoints]
        if len(names) != len(set(names)):
            raise ValueError("endpoints: two have the same name; give each its own")


_NOTHING_SAID = ModelOptions()


class ThroughputOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The throughput stage as configured; `models` by provider's model id.

    `shares`: weight of tenants in the queue where it is not 1: one of weight 2 gets twice as much of a full quota.
    `retry_share`: retries as a share of requests, over all. Models that are not named have no known quota: it is
    learnt from refusals, and nothing is held back before the first one.
    """

    models: dict[str, ModelOptions] = field(default_factory=dict)
    gate: GateSpec = field(default_factory=GateSpec)
    retry: Backoff = field(default_factory=Backoff)
    shares: dict[str, float] = field(default_factory=dict)
    retry_share: float = 0.1
    breaker: BreakerSpec = field(default_factory=BreakerSpec)
    quotas: QuotaImport = field(default_factory=QuotaImport)
    hedge: HedgeSpec = field(default_factory=HedgeSpec)

    def __post_init__(self) -> None:
        for tenant, weight in self.shares.items():
            if not weight > 0:
                raise ValueError(f"shares.{tenant}: {weight:g} would serve nobody; give a weight above 0")


THROUGHPUT_STAGE = StageSpec(
    name="throughput", options=ThroughputOptions, phase=Phase.SEND, safe="on",
    does="waits for quota, chooses endpoint and region, tries again and hedges",
)  # fmt: skip


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


class Routes:
    """Dispatchers by target, built at first use; at most `most` are kept.

    `burndown`: quota units an output token of a model costs where the quota does not say (the catalog's card).
    """

    def __init__(
        self,
        options: ThroughputOptions,
        counters: Counters,
        clock: Clock,
        *,
        burndown: Callable[[str], float] = lambda model: 1.0,
        most: int = 4096,
    ) -> None:
        self.options = options
        self._counters = counters
        self._clock = clock
        self._most = most
        self._burndown = burndown
        self._budget = RetryBudget(options.retry_share, initial=5.0)
        self._routes: dict[Target, Route] = {}
        self.imported: dict[Place, QuotaSpec] = of_file(options.quotas.file) if options.quotas.file else {}
        """The account's own quotas, which hold where the configuration says nothing."""

    def of(self, target: Target) -> Route:
        """The dispatcher for calls to `target`."""
        route = self._routes.get(target)
        if route is None:
            if len(self._routes) >= self._most:
                self._routes.pop(next(iter(self._routes)))
            route = self._routes[target] = self._build(target)
        return route

    def update_quotas(self, quotas: Mapping[Place, QuotaSpec]) -> None:
        """The account's quotas, as they have just been read: in force at once, also for routes in use."""
        self.imported.update(quotas)
        for target, route in self._routes.items():
            model = self.options.models.get(target.model, _NOTHING_SAID)
            for place, endpoint in zip(self._places(target, model), route.dispatcher.gate.endpoints, strict=True):
                if endpoint.quota is not None:
                    endpoint.quota.update(self._quota(place, model, route.targets[place.name]))
            route.dispatcher.gate.wake()

    def _quota(self, place: EndpointOptions, model: ModelOptions, there: Target) -> QuotaSpec:
        """The quota of a place: its own, the model's, the account's; none known otherwise."""
        if place.quota is not None:
            return place.quota
        if model.quota != _NOTHING_SAID.quota or there.endpoint or there.service_tier not in ("standard", "priority"):
            return model.quota
        known = self.imported
        return known.get((there.region, there.model)) or known.get(("", there.model)) or model.quota

    def routes(self) -> dict[Target, Route]:
        """Those in use, for metrics and the console."""
        return dict(self._routes)

    def _by_region(self, target: Target, model: ModelOptions) -> tuple[EndpointOptions, ...]:
        from hapenny.catalog import resolve
        from hapenny.throughput.regions import endpoints

        card, policy = resolve(target.model), model.regions
        if card is None or policy is None:
            return ()
        if target.service_tier not in ("standard", "provisioned"):  # asked for by name: that tier and no other
            policy = msgspec.structs.replace(policy, tiers=(target.service_tier,))
        return endpoints(card, policy)

    def _places(self, target: Target, model: ModelOptions) -> tuple[EndpointOptions, ...]:
        places = model.endpoints or self._by_region(target, model)
        return places or (EndpointOptions(name=target.region or target.backend or "only"),)

    def _build(self, target: Target) -> Route:
        model = self.options.models.get(target.model, _NOTHING_SAID)
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
                    ),
                    limit=limit.build(self._clock) if limit is not None else None,
                    breaker=self.options.breaker,
                    cost_factor=place.cost_factor,
                    server_priority=place.server_priority,
                    patient=there.service_tier == "flex",
                )
            )
        balancer = Balancer(self._clock, affinity=model.affinity)
        gate = Gate(self._clock, endpoints, self.options.gate, balancer=balancer)
        dispatcher: Dispatcher[tuple[Answer, Exchange]] = Dispatcher(
            self._clock,
            gate,
            backoff=self.options.retry,
            budget=self._budget,
            hedger=Hedger(self.options.hedge) if model.hedge else None,
            release=lambda begun: begun[0].close(),
            silent=lambda begun: not begun[0].begun,
        )
        return Route(dispatcher, targets, model.affinity)
