"""Pools of quota: whose they are, how large, and what a call uses of them."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec


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
    """The limits of one pool, as the provider counts them. A limit that is None does not exist or is not known.

    `window`: `refill` (a token bucket) or `minute` (counted from each full minute). `burst_s`: seconds of quota that a
    refilling bucket saves, a minute's unless given (1: the provider counts by the second). `output_burndown`: units a
    settled output token costs, the catalog's figure when None. `cache_read_share`: units a cached input token costs
    once settled. `learn`: find the tokens a minute from the provider's refusals when `tokens_per_minute` is not given.
    """

    requests_per_minute: float | None = None
    """RPM."""
    tokens_per_minute: float | None = None
    tokens_per_day: float | None = None
    """TPD."""
    window: Literal["refill", "minute"] = "refill"
    burst_s: float | None = None
    output_burndown: float | None = None
    cache_read_share: float = 0.0
    learn: bool = True

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
