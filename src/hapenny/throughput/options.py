"""Throughput as configured, and the dispatchers built from it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

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
    """One more place to call the same model. An empty field is the target's own."""

    name: Annotated[str, Meta(description="How it is called in metrics.")]
    backend: Annotated[str, Meta(description="Name of a backend.")] = ""
    region: Annotated[str, Meta(description="AWS region.")] = ""
    service_tier: Annotated[str, Meta(description="standard, priority, flex, reserved, provisioned or owned.")] = ""
    endpoint: Annotated[str, Meta(description="Address.")] = ""
    profile: Annotated[str, Meta(description="The inference profile to call instead of the plain model id.")] = ""
    account: Annotated[str, Meta(description="Whose quota it is.")] = ""
    cost_factor: Annotated[
        float,
        Meta(description="Price against the cheapest endpoint; cheaper ones are used up first."),
    ] = 1.0
    hourly_usd: Annotated[
        float | None,
        Meta(description="What its capacity costs an hour, where that is paid instead of calls."),
    ] = None
    server_priority: Annotated[bool, Meta(description="Whether the server orders by priority itself.")] = False
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
    """Where a model may be served."""

    source: Annotated[str, Meta(description="The region called.")]
    residency: Annotated[
        Residency,
        Meta(
            description="`region`: it alone; `geography`: its geographic profile too; `anywhere`: the global "
            "profile too.",
        ),
    ] = "geography"
    provisioned: Annotated[
        str,
        Meta(
            description="ARN of provisioned throughput, used first; calls spill from it to on demand in the same "
            "region.",
        ),
    ] = ""
    hourly_usd: Annotated[float | None, Meta(description="What that costs an hour.")] = None
    tiers: Annotated[
        tuple[str, ...],
        Meta(description="Service tiers to use, best first; later ones are spilled to."),
    ] = ("standard",)
    second_endpoint: Annotated[
        str,
        Meta(description="Name of a backend for the provider's second endpoint family, a quota pool of its own."),
    ] = ""


class ModelOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One model's quota, concurrency limit and endpoints.

    Without `endpoints` they follow from `regions` and the catalog; without either the target itself is the only one.
    """

    quota: QuotaSpec = field(default_factory=QuotaSpec)
    limit: LimitSpec | None = None
    endpoints: tuple[EndpointOptions, ...] = ()
    regions: RegionPolicy | None = None
    affinity: Annotated[
        bool,
        Meta(description="Keep equal prefixes on the same server of a pool (vLLM's prefix cache)."),
    ] = False
    hedge: Annotated[bool, Meta(description="Ask a second endpoint when the first is late.")] = False

    def __post_init__(self) -> None:
        names = [e.name for e in self.endpoints]
        if len(names) != len(set(names)):
            raise ValueError("endpoints: two have the same name; give each its own")


NOTHING_SAID = ModelOptions()


class ThroughputOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How calls are made.

    Models that are not named have no known quota: it is learnt from refusals, and nothing is held back before the first
    one.
    """

    models: dict[str, ModelOptions] = field(default_factory=dict)
    gate: GateSpec = field(default_factory=GateSpec)
    retry: Backoff = field(default_factory=Backoff)
    shares: Annotated[
        dict[str, float],
        Meta(
            description="Weight of tenants in the queue where it is not 1: one of weight 2 gets twice as much of "
            "a full quota.",
        ),
    ] = field(default_factory=dict)
    retry_share: Annotated[float, Meta(description="Retries as a share of requests, over all.")] = 0.1
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
