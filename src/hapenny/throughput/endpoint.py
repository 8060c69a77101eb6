"""One place where a model can be called: its quota, its concurrency limit, its health and its load."""

from __future__ import annotations

import math

from hapenny.core.clock import Clock
from hapenny.throughput.breaker import Breaker, BreakerSpec
from hapenny.throughput.concurrency import ConcurrencyLimit
from hapenny.throughput.quota import Quota
from hapenny.throughput.speed import Speed


class Endpoint:
    """An upstream of one model. `quota` and `limit` are None where there is none to keep.

    `cost_factor`: its price against the cheapest way to call the same model. `patient`: cheaper and slower (flex): for
    background calls first, for others last. `server_priority`: the server orders by priority itself. `half_life_s`: of
    the latency mean.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        quota: Quota | None = None,
        limit: ConcurrencyLimit | None = None,
        breaker: BreakerSpec | None = None,
        cost_factor: float = 1.0,
        server_priority: bool = False,
        patient: bool = False,
        half_life_s: float = 10.0,
    ) -> None:
        self.name = name
        self.quota = quota
        self.limit = limit
        self.breaker = Breaker(clock, breaker)
        self.cost_factor = cost_factor
        self.server_priority = server_priority
        self.patient = patient
        self.inflight = 0
        self.held_units = 0.0
        """Tokens that calls under way may use: their prompts and the limits of their answers."""
        self.used_units = 0.0
        """Units of quota that calls which ended have used, so far."""
        self.seconds = 0.0
        """That they took together."""
        self._occupied = 0.0
        self._changed = clock.now()
        self.speed = Speed()
        """How fast it answers; measured where `timed`."""
        self.timed = False
        self._clock = clock
        self._decay = math.log(2) / half_life_s
        self._ewma = 0.0
        self._stamp = clock.now()

    @property
    def free(self) -> float:
        """Calls that the concurrency limit lets start now; `inf` without a limit."""
        return math.inf if self.limit is None else self.limit.limit - self.inflight

    def occupied(self, now: float) -> float:
        """Calls in flight times seconds, up to `now`, so far: divided by a stretch, the calls in flight in its mean."""
        self._occupied += self.inflight * (now - self._changed)
        self._changed = now
        return self._occupied

    def enter(self, now: float, units: float) -> int:
        """A call that may use `units` begins; how many are now under way."""
        self.occupied(now)
        self.inflight += 1
        self.held_units += units
        return self.inflight

    def leave(self, now: float, units: float, used: float, seconds: float) -> None:
        """It is over, and has used `used`."""
        self.occupied(now)
        self.inflight -= 1
        self.held_units = self.held_units - units if self.inflight else 0.0
        self.used_units += used
        self.seconds += seconds

    def load(self) -> float:
        """Peak-EWMA cost of one more call (Finagle): decayed peak time to first token x calls in flight."""
        return self._latency() * (self.inflight + 1)

    def observe(self, ttft_s: float) -> None:
        """Learns a time to first token: peaks count at once, good times slowly."""
        now = self._clock.now()
        weight = math.exp(-(now - self._stamp) * self._decay)
        self._ewma = ttft_s if ttft_s > self._ewma else self._ewma * weight + ttft_s * (1 - weight)
        self._stamp = now

    def _latency(self) -> float:
        # Unheard-of endpoints look good, but not free, so that a flood does not meet a new one.
        return max(1e-3, self._ewma * math.exp(-(self._clock.now() - self._stamp) * self._decay))
