"""How many servers of one's own hold a time to first token: found by running the trace through simulated ones.

The servers are those of `simulation.fleet_server` (continuous batching, chunked prefill, bounded memory); each request
goes to the server with the fewest inside. What they can do is a card whose figures are assumed until they are replaced
by measured ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from hapenny.simulation import loop
from hapenny.simulation.fleet_server import Server, ServerCard
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.workload.trace import Arrival

MOST = 256
_SAMPLE = 4_000
"""Requests of the busiest stretch that are run: what holds there holds elsewhere."""


class Held(Struct, frozen=True, kw_only=True):
    """What so many servers do."""

    servers: int
    ttft_p95_s: float
    holds: bool


def busiest(arrivals: Sequence[Arrival], count: int = _SAMPLE) -> list[Arrival]:
    """The `count` requests in a row that come in the shortest time."""
    if len(arrivals) <= count:
        return list(arrivals)
    starts = range(0, len(arrivals) - count + 1, max(1, count // 20))
    start = min(starts, key=lambda place: arrivals[place + count - 1].at - arrivals[place].at)
    return list(arrivals[start : start + count])


def ttft_p95(arrivals: Sequence[Arrival], servers: int, card: ServerCard | None = None) -> float:
    """Seconds to the first token at the 95th percentile."""
    card = card or ServerCard()

    async def main(clock: VirtualClock) -> list[float]:
        fleet = [Server(clock, card) for _ in range(servers)]
        first: list[float] = []
        start = arrivals[0].at

        async def one(arrival: Arrival) -> None:
            await clock.sleep(arrival.at - start)
            began = clock.now()
            server = min(fleet, key=lambda each: each.inside)
            await server.call(
                arrival.input, arrival.output, arrival.output, on_begin=lambda: first.append(clock.now() - began)
            )

        await asyncio.gather(*(one(arrival) for arrival in arrivals))
        return first

    return float(np.percentile(loop.run(main, 0), 95))


def least(arrivals: Sequence[Arrival], ttft_p95_s: float, card: ServerCard | None = None, most: int = MOST) -> Held:
    """The fewest servers that hold the objective on the trace's busiest stretch; `holds` is False where not even `most`
    do."""
    stretch = busiest(arrivals)
    low, high = 0, 1
    times: dict[int, float] = {}
    while high < most and times.setdefault(high, ttft_p95(stretch, high, card)) > ttft_p95_s:
        low, high = high, min(most, 2 * high)
    if times.setdefault(high, ttft_p95(stretch, high, card)) > ttft_p95_s:
        return Held(servers=high, ttft_p95_s=times[high], holds=False)
    while high - low > 1:
        middle = (low + high) // 2
        if times.setdefault(middle, ttft_p95(stretch, middle, card)) <= ttft_p95_s:
            high = middle
        else:
            low = middle
    return Held(servers=high, ttft_p95_s=times[high], holds=True)
