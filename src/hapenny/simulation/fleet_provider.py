"""A managed model endpoint in virtual time: quota with reservation and settlement, timing, tails, outages.

Written apart from the gateway's own counters on purpose: it is the truth that they are measured against.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec

from hapenny.core.clock import Clock


class Throttled(Exception):
    """The provider's 429: its quota has no room for the reservation. Carries no time to come back, as Bedrock's."""


class Broken(Exception):
    """The provider's 5xx."""


class ProviderCard(msgspec.Struct, kw_only=True, frozen=True):
    """How the endpoint behaves; all figures assumed. Times in seconds.

    `window`: refill = a token bucket that saves up to a minute of quota; minute = counted from each full minute.
    A call takes `network_s` to reach the provider and its end as long to come back; a refusal takes `refuse_s` there.
    `burst_s`: seconds of quota that a refilling bucket saves, a minute's unless given. `slow_share` of calls take
    `slow_factor` times as long to their first token. `outages`: (from, until).
    """

    tokens_per_minute: float = 400_000
    requests_per_minute: float | None = None
    window: Literal["refill", "minute"] = "refill"
    burst_s: float | None = None
    burndown: float = 5.0
    ttft_s: float = 0.5
    tokens_per_s: float = 80.0
    network_s: float = 0.01
    refuse_s: float = 0.02
    fail_s: float = 0.05
    slow_share: float = 0.0
    slow_factor: float = 10.0
    outages: tuple[tuple[float, float], ...] = ()


class ProviderQuota:
    """Units of one pool, as the provider counts them."""

    def __init__(
        self, clock: Clock, per_minute: float, window: Literal["refill", "minute"], burst_s: float | None = None
    ) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._window = window
        self.most = per_minute if burst_s is None or window == "minute" else per_minute * burst_s / 60
        self._left = self.most
        self._seen = clock.wall()

    @property
    def left(self) -> float:
        """Units available now."""
        wall = self._clock.wall()
        if self._window == "minute":
            if int(wall // 60) != int(self._seen // 60):
                self._left = self._per_minute
        else:
            self._left = min(self.most, self._left + (wall - self._seen) / 60 * self._per_minute)
        self._seen = wall
        return self._left

    def take(self, units: float) -> bool:
        """Reserves `units` if there is room."""
        if self.left < min(units, self.most) - 1e-6 * self.most:
            return False
        self._left -= units
        return True

    def charge(self, units: float) -> None:
        """Settles a difference: positive takes more, negative gives back."""
        self._left = min(self.most, self.left - units)


class Provider:
    """One model behind one quota. Totals are in settled units and calls."""

    def __init__(self, clock: Clock, card: ProviderCard) -> None:
        self.clock = clock
        self.card = card
        self.quota = ProviderQuota(clock, card.tokens_per_minute, card.window, card.burst_s)
        self.requests = (
            ProviderQuota(clock, card.requests_per_minute, card.window) if card.requests_per_minute else None
        )
        self.calls = self.throttled = self.failed = self.inflight = 0
        self.settled = 0.0

    async def call(
        self,
        input_tokens: int,
        max_tokens: int,
        output_tokens: int,
        *,
        cached_tokens: int = 0,
        on_begin: Callable[[], None] | None = None,
    ) -> int:
        """One call; returns the output tokens made. Cancelling it settles what was generated until then."""
        card, now = self.card, self.clock.now
        await self.clock.sleep(card.network_s)
        self.calls += 1
        if any(start <= now() < end for start, end in card.outages):
            self.failed += 1
            await self.clock.sleep(card.fail_s)
            raise Broken("internal server error")
        reserve = float(input_tokens + cached_tokens + max_tokens)
        if (self.requests is not None and not self.requests.take(1)) or not self.quota.take(reserve):
            self.throttled += 1
            await self.clock.sleep(card.refuse_s)
            raise Throttled("Too many tokens, please wait before trying again.")
        self.inflight += 1
        ttft = card.ttft_s * (card.slow_factor if self.clock.random.random() < card.slow_share else 1.0)
        output = min(output_tokens, max_tokens)
        began: float | None = None
        made = 0
        try:
            await self.clock.sleep(ttft)
            began = now()
            if on_begin is not None:
                on_begin()
            await self.clock.sleep(output / card.tokens_per_s)
            made = output
        except asyncio.CancelledError:
            made = 0 if began is None else min(output, int((now() - began) * card.tokens_per_s))
            raise
        finally:
            self.inflight -= 1
            units = input_tokens + card.burndown * made
            self.settled += units
            self.quota.charge(units - reserve)
        await self.clock.sleep(card.network_s)
        return made
