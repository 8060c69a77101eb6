"""A concurrency limit as configured: which kind, between which bounds."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from hapenny.core.clock import Clock
from hapenny.core.stage_spec import INSIDE
from hapenny.throughput.aimd import AimdLimit
from hapenny.throughput.concurrency import SLO, ConcurrencyLimit, FixedLimit, ShadowLimit
from hapenny.throughput.gradient import GradientLimit


class LimitSpec(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How many calls may be under way at once."""

    kind: Annotated[str, Meta(description="How calls at once are limited: fixed, aimd or gradient.")] = "aimd"
    initial: Annotated[int, Meta(description="Calls at once to begin with.", extra=INSIDE)] = 16
    least: Annotated[int, Meta(description="Never fewer at once.", extra=INSIDE)] = 1
    most: Annotated[int, Meta(description="Never more at once.")] = 1024
    slo: SLO = SLO()
    shadow: Annotated[str | None, Meta(description="A kind that only learns beside it.", extra=INSIDE)] = None

    def __post_init__(self) -> None:
        for name in ("kind", "shadow"):
            value = getattr(self, name)
            if value not in ("fixed", "aimd", "gradient") and not (name == "shadow" and value is None):
                raise ValueError(f"{name}: {value!r} is unknown; choose fixed, aimd or gradient")
        if not 1 <= self.least <= self.initial <= self.most:
            raise ValueError("least, initial, most: give 1 <= least <= initial <= most")

    def build(self, clock: Clock) -> ConcurrencyLimit:
        """The limit this describes."""
        active = self._kind(self.kind, clock)
        return ShadowLimit(active, self._kind(self.shadow, clock)) if self.shadow else active

    def _kind(self, kind: str, clock: Clock) -> ConcurrencyLimit:
        if kind == "aimd":
            return AimdLimit(clock, self.slo, initial=self.initial, least=self.least, most=self.most)
        if kind == "gradient":
            return GradientLimit(clock, initial=self.initial, least=self.least, most=self.most)
        return FixedLimit(self.initial)
