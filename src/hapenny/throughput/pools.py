"""Pools of quota: whose they are, how large, and what a call uses of them."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from hapenny.core.stage_spec import INSIDE


class Pool(NamedTuple):
    """Whose quota it is. Service tiers and the second endpoint family have pools of their own."""

    model: str
    region: str = ""
    account: str = ""
    endpoint: str = ""
    tier: str = "standard"

    @property
    def key(self) -> str:
        """The counter key; the braces keep all counters of a pool on one Redis Cluster slot."""
        return "{" + "/".join((self.account, self.region, self.endpoint, self.model, self.tier)) + "}"


class QuotaSpec(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The limits of one pool, as the provider counts them. A limit that is left out does not exist or is not known."""

    requests_per_minute: Annotated[float | None, Meta(description="RPM.")] = None
    tokens_per_minute: Annotated[float | None, Meta(description="TPM. Left out: none, or not known.")] = None
    tokens_per_day: Annotated[float | None, Meta(description="TPD.")] = None
    window: Annotated[
        Literal["refill", "minute"],
        Meta(description="How the provider counts: `refill` (a token bucket) or `minute` (from each full minute)."),
    ] = "refill"
    burst_s: Annotated[
        float | None,
        Meta(description="Seconds of quota that a refilling bucket saves; a minute's if left out."),
    ] = None
    output_burndown: Annotated[
        float | None,
        Meta(description="Units that a settled token of an answer costs; the catalog's figure if left out."),
    ] = None
    cache_read_share: Annotated[
        float,
        Meta(description="Units that a cached token of a prompt costs once settled.", extra=INSIDE),
    ] = 0.0
    learn: Annotated[
        bool,
        Meta(
            description="Whether the tokens a minute are learnt from the provider's refusals where "
            "`tokens_per_minute` is left out.",
        ),
    ] = True

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "tokens_per_day"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: {value} would let nothing through; leave it out if there is no such limit")
        if self.burst_s is not None and not self.burst_s > 0:
            raise ValueError(f"burst_s: {self.burst_s} saves nothing; give seconds above 0, or leave it out")
        if (self.output_burndown or 0) < 0 or self.cache_read_share < 0:
            raise ValueError("output_burndown and cache_read_share are factors and cannot be negative")


class Used(NamedTuple):
    """What a call really used, in tokens. `cached`: read from the provider's prefix cache, not part of `input`."""

    input: int
    output: int
    cached: int = 0
