"""Throughput as configured, and the dispatchers built from it."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import field

from hapenny.core.exchange import Target
from hapenny.core.stage_spec import Phase, StageSpec
from hapenny.throughput.breaker import BreakerSpec
from hapenny.throughput.gate import GateSpec
from hapenny.throughput.hedge import HedgeSpec
from hapenny.throughput.imported import QuotaImport
from hapenny.throughput.limits import LimitSpec
from hapenny.throughput.pools import QuotaSpec
from hapenny.throughput.retry import Backoff


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


NOTHING_SAID = ModelOptions()


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
    name="throughput", options=ThroughputOptions, phase=Phase.SEND, safe="on", saves=False,
    does="waits for quota, chooses endpoint and region, tries again and hedges",
)  # fmt: skip
