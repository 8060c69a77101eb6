"""Rivals, re-implemented from their published rules: botocore's retry modes, Netflix concurrency-limits, FIFO bucket.

botocore: retries/standard.py, retries/adaptive.py, retries/throttling.py, retries/bucket.py (defaults). Netflix:
AIMDLimit, Gradient2Limit inside WindowedLimit, VegasLimit (defaults). The limiters wait at most `PATIENCE_S` for a
place, as ours does, and refused calls are tried three times with botocore's backoff: more than they do by themselves.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Protocol

from benchmarks.throughput.replay import MAX_TOKENS, Turned, provider_call
from benchmarks.throughput.traces import Arrival
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.simulation.fleet_provider import Provider
from hapenny.throughput.concurrency import Sample

PATIENCE_S = 2.0
TRIES = 3


class Limiter(Protocol):
    """A Netflix limit: a number of calls in flight, updated after each call."""

    @property
    def limit(self) -> int: ...

    def update(self, now: float, rtt: float, inflight: int, dropped: bool) -> None: ...


class Aimd:
    """AIMDLimit: initial 20, min 20, max 200, backoff .9, timeout 5 s."""

    def __init__(self, least: int = 20) -> None:
        self.now, self.least = 20, least

    @property
    def limit(self) -> int:
        return self.now

    def update(self, now: float, rtt: float, inflight: int, dropped: bool) -> None:
        if dropped or rtt > 5.0:
            self.now = int(self.now * 0.9)
        elif inflight * 2 >= self.now:
            self.now += 1
        self.now = min(200, max(self.least, self.now))


class Gradient2:
    """Gradient2Limit: initial 20, min 20, max 200, tolerance 1.5, long window 600, queue 4, smoothing .2; windows of
    1 s and 10 samples as WindowedLimit makes them. Drops are not looked at."""

    def __init__(self) -> None:
        self.exact = 20.0
        self.long = 0.0
        self.seen = 0
        self.since = -math.inf
        self.window: list[float] = []
        self.busiest = 0

    @property
    def limit(self) -> int:
        return int(self.exact)

    def update(self, now: float, rtt: float, inflight: int, dropped: bool) -> None:
        if not dropped:
            self.window.append(rtt)
            self.busiest = max(self.busiest, inflight)
        if now - self.since < 1.0 or len(self.window) < 10:
            return
        short = sum(self.window) / len(self.window)
        busiest, self.window, self.busiest, self.since = self.busiest, [], 0, now
        self.seen += 1
        if self.seen <= 10:
            self.long += (short - self.long) / self.seen
        else:
            self.long += (short - self.long) * 2 / 601
        if self.long / short > 2:
            self.long *= 0.95
        if busiest < self.exact / 2:
            return
        gradient = max(0.5, min(1.0, 1.5 * self.long / short))
        new = self.exact * gradient + 4
        self.exact = max(20.0, min(200.0, self.exact * 0.8 + new * 0.2))


class Vegas:
    """VegasLimit: initial 20, max 1000, alpha 3 log10, beta 6 log10, probe every 30 x limit calls."""

    def __init__(self) -> None:
        self.exact = 20.0
        self.noload = 0.0
        self.probes = 0

    @property
    def limit(self) -> int:
        return int(self.exact)

    def update(self, now: float, rtt: float, inflight: int, dropped: bool) -> None:
        self.probes += 1
        if self.probes >= 30 * self.exact:
            self.probes, self.noload = 0, rtt
            return
        if self.noload == 0 or rtt < self.noload:
            self.noload = rtt
            return
        log = max(1.0, math.log10(max(1, self.limit)))
        queue = math.ceil(self.exact * (1 - self.noload / rtt))
        if dropped:
            new = self.exact - log
        elif inflight * 2 < self.exact:
            return
        elif queue <= log:
            new = self.exact + 6 * log
        elif queue < 3 * log:
            new = self.exact + log
        elif queue > 6 * log:
            new = self.exact - log
        else:
            return
        self.exact = max(1.0, min(1000.0, new))


class AsLimit:
    """A Netflix limiter as our `ConcurrencyLimit`, so that all kinds stand behind the same queue."""

    def __init__(self, limiter: Limiter, clock: Clock) -> None:
        self._limiter, self._clock = limiter, clock

    @property
    def limit(self) -> int:
        return max(1, self._limiter.limit)

    def observe(self, sample: Sample) -> None:
        self._limiter.update(self._clock.now(), sample.took_s, sample.inflight, sample.dropped)


class Limited:
    """A concurrency limiter in front of the provider, waiting FIFO for a place."""

    def __init__(self, clock: Clock, provider: Provider, limiter: Limiter) -> None:
        self.clock, self.provider, self.limiter = clock, provider, limiter
        self.inflight = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    async def serve(self, row: Arrival, deadline: float) -> float:
        for attempt in range(TRIES):
            await self._enter(deadline)
            started, inflight = self.clock.now(), self.inflight
            try:
                made = await provider_call(self.provider, row)
                self._leave(started, inflight, False)
                return row.input + self.provider.card.burndown * made
            except Failure:
                self._leave(started, inflight, True)
                if attempt == TRIES - 1 or self.clock.now() > deadline:
                    raise
                await self.clock.sleep(self.clock.random.random() * min(2**attempt, 20))
        raise AssertionError

    async def _enter(self, deadline: float) -> None:
        if self.inflight >= self.limiter.limit or self.waiting:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append(place)
            try:
                async with asyncio.timeout(min(PATIENCE_S, max(0.0, deadline - self.clock.now()))):
                    await place
            except TimeoutError:
                if place in self.waiting:
                    self.waiting.remove(place)
                raise Turned(self.provider.quota.left >= row_need()) from None
        self.inflight += 1

    def _leave(self, started: float, inflight: int, dropped: bool) -> None:
        self.inflight -= 1
        now = self.clock.now()
        self.limiter.update(now, now - started, inflight, dropped)
        room = int(self.limiter.limit) - self.inflight
        while room > 0 and self.waiting:
            place = self.waiting.popleft()
            if not place.done():
                place.set_result(None)
                room -= 1


def row_need() -> float:
    """Units a typical request reserves, for telling whether a limiter turned it away with quota left."""
    return 1_000.0 + MAX_TOKENS


class BotocoreStandard:
    """Standard mode: three attempts, backoff random x min(2^i, 20) s, retry quota of 500 (a retry costs 5)."""

    def __init__(self, clock: Clock, provider: Provider) -> None:
        self.clock, self.provider = clock, provider
        self.quota = 500

    async def serve(self, row: Arrival, deadline: float) -> float:
        paid = 0
        for attempt in range(TRIES):
            await self.before(deadline)
            try:
                made = await provider_call(self.provider, row)
            except Failure:
                self.after(True)
                if attempt == TRIES - 1 or self.quota < 5:
                    raise
                self.quota -= 5
                paid = 5
                await self.clock.sleep(self.clock.random.random() * min(2**attempt, 20))
                continue
            self.after(False)
            self.quota = min(500, self.quota + (paid or 1))
            return row.input + self.provider.card.burndown * made
        raise AssertionError

    async def before(self, deadline: float) -> None:
        """Standard mode sends at once."""

    def after(self, throttled: bool) -> None:
        """Standard mode learns nothing."""


class BotocoreAdaptive(BotocoreStandard):
    """Adaptive mode: standard, and a client token bucket whose rate follows CUBIC (beta .7, scale .4)."""

    def __init__(self, clock: Clock, provider: Provider) -> None:
        super().__init__(clock, provider)
        self.enabled = False
        self.turn = asyncio.Lock()
        self.rate, self.capacity, self.level, self.filled = 0.5, 1.0, 0.0, clock.now()
        self.w_max, self.last_fail = 0.5, clock.now()
        self.k = self._k()
        self.measured, self.bucket_at, self.count = 0.0, math.floor(clock.now() * 2) / 2, 0

    async def before(self, deadline: float) -> None:
        if not self.enabled:
            return
        async with self.turn:
            while self.clock.now() < deadline:
                self._refill()
                if self.level >= 1:
                    self.level -= 1
                    return
                await self.clock.sleep(max(0.001, (1 - self.level) / self.rate))
            raise Turned

    def after(self, throttled: bool) -> None:
        now = self.clock.now()
        self._measure(now)
        if throttled:
            rate = min(self.measured, self.rate) if self.enabled else self.measured
            self.w_max, self.last_fail = rate, now
            self.k = self._k()
            new = rate * 0.7
            self.enabled = True
        else:
            new = 0.4 * (now - self.last_fail - self.k) ** 3 + self.w_max
        new = min(new, 2 * self.measured)
        self._refill()
        self.rate = max(new, 0.5)
        self.capacity = max(new, 1.0)
        self.level = min(self.level, self.capacity)

    def _k(self) -> float:
        return float((self.w_max * 0.3 / 0.4) ** (1 / 3))

    def _measure(self, now: float) -> None:
        half = math.floor(now * 2) / 2
        self.count += 1
        if half > self.bucket_at:
            rate = self.count / (half - self.bucket_at)
            self.measured = rate * 0.8 + self.measured * 0.2
            self.count, self.bucket_at = 0, half

    def _refill(self) -> None:
        now = self.clock.now()
        self.level = min(self.capacity, self.level + (now - self.filled) * self.rate)
        self.filled = now


class FifoBucket:
    """An exact mirror of the quota with settlement, and a FIFO queue in front that serves whoever has not left."""

    def __init__(self, clock: Clock, provider: Provider) -> None:
        self.clock, self.provider = clock, provider
        self.queue: deque[tuple[float, float, asyncio.Future[bool]]] = deque()
        self.pump: asyncio.Task[None] | None = None
        self.pending = 0.0

    async def serve(self, row: Arrival, deadline: float) -> float:
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.queue.append((row.input + MAX_TOKENS, deadline, turn))
        if self.pump is None or self.pump.done():
            self.pump = asyncio.get_running_loop().create_task(self._serve())
        if not await turn:
            raise Turned
        made = await provider_call(self.provider, row)
        return row.input + self.provider.card.burndown * made

    async def _serve(self) -> None:
        while self.queue:
            need, deadline, turn = self.queue[0]
            if self.clock.now() >= deadline:
                self.queue.popleft()
                turn.set_result(False)
                continue
            if self.provider.quota.left - self.pending >= need:
                self.queue.popleft()
                self.pending += need
                asyncio.get_running_loop().call_later(2 * self.provider.card.network_s, self._arrived, need)
                turn.set_result(True)
                continue
            await self.clock.sleep(0.02)

    def _arrived(self, need: float) -> None:
        self.pending -= need
