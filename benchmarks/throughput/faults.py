"""Outages, slow tails and micro-batches in virtual time, and the real time the gate itself takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.throughput.ours import Hapenny
from benchmarks.throughput.quota import BURNDOWN, POOL, TPM, at_load, spec_of
from benchmarks.throughput.replay import MAX_TOKENS, play
from benchmarks.throughput.traces import Arrival
from hapenny.core.clock import RealClock
from hapenny.simulation import loop
from hapenny.simulation.fleet_provider import Provider, ProviderCard
from hapenny.simulation.loop import VirtualClock
from hapenny.stores.counters import MemoryCounters
from hapenny.throughput.dispatch import Dispatcher
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import CallOutcome, Gate
from hapenny.throughput.hedge import Hedger, HedgeSpec
from hapenny.throughput.microbatch import MicroBatcher, MicroBatchSpec
from hapenny.throughput.pools import Used
from hapenny.throughput.queue import Job
from hapenny.throughput.quota import Quota


def outage(rows: list[Arrival], seed: int, *, start: float = 300.0, lasts: float = 90.0) -> dict[str, float]:
    """One endpoint, .8 of its quota, gone for `lasts` seconds.

    extra_calls: calls beyond each request's first, as a share of requests that arrived in the outage. recovery_s: from
    its end until at least 95 % of the requests of five seconds in a row are answered. goodput_10s: answered share of
    requests that arrived 10 to 40 s after its end.
    """
    arrivals = [r for r in at_load(rows, 0.8) if r.at < start + lasts + 120]

    async def main(clock: VirtualClock) -> dict[str, float]:
        card = ProviderCard(tokens_per_minute=TPM, burndown=BURNDOWN, outages=((start, start + lasts),))
        provider = Provider(clock, card)
        quota = Quota(POOL, spec_of("refill"), MemoryCounters(clock), clock)
        endpoint = Endpoint("provider", clock, quota=quota)
        ours = Hapenny(clock, Dispatcher(clock, Gate(clock, [endpoint])), {"provider": provider})
        records = await play(clock, arrivals, ours.serve)
        end = start + lasts
        during = [r for r in records if start <= r.arrived < end]
        extra = sum(start <= at < end for at in ours.extra)
        after = sorted((r.arrived, r.outcome == "answer") for r in records if r.arrived >= end)
        recovery = lasts
        for at, _ in after:
            window = [ok for when, ok in after if at <= when < at + 5]
            if sum(window) >= 0.95 * len(window):
                recovery = at - end
                break
        late = [ok for when, ok in after if end + 10 <= when < end + 40]
        return {
            "extra_calls": round(extra / max(1, len(during)), 4),
            "calls_per_request": round(provider.failed / max(1, len(during)), 4),
            "recovery_s": round(recovery, 3),
            "goodput_10s": round(sum(late) / max(1, len(late)), 4),
        }

    return loop.run(main, seed)


def hedging(rows: list[Arrival], seed: int) -> dict[str, float]:
    """Two regions of one model at .4 of their quota each; 2 % of calls are 10x slower to their first token."""
    arrivals = [r._replace(at=r.at / 2) for r in at_load(rows, 0.4)]

    def run(hedger: Hedger | None) -> tuple[float, float, float]:
        async def main(clock: VirtualClock) -> tuple[float, float, float]:
            card = ProviderCard(tokens_per_minute=TPM, burndown=BURNDOWN, slow_share=0.02, slow_factor=10.0)
            providers = {name: Provider(clock, card) for name in ("one", "two")}
            endpoints = []
            for name in providers:
                pool = POOL._replace(region=name)
                endpoints.append(
                    Endpoint(name, clock, quota=Quota(pool, spec_of("refill"), MemoryCounters(clock), clock))
                )
            ours = Hapenny(clock, Dispatcher(clock, Gate(clock, endpoints), hedger=hedger), providers)
            await play(clock, arrivals, ours.serve)
            cost = sum(p.settled for p in providers.values())
            first = np.percentile(ours.first_tokens, [50, 99])
            return float(first[0]), float(first[1]), cost

        return loop.run(main, seed)

    _, plain, plain_cost = run(None)
    hedger = Hedger(HedgeSpec())
    _, hedged, hedged_cost = run(hedger)
    return {
        "p99_ratio": round(hedged / plain, 4),
        "extra_cost": round(hedged_cost / plain_cost - 1, 5),
        "p99_s": round(hedged, 3),
        "p99_plain_s": round(plain, 3),
        "hedged_share": round(hedger.hedges / len(arrivals), 4),
    }


def microbatch(seed: int) -> dict[str, float]:
    """An embedder that takes 20 ms a call and 1 ms an item (assumed), four calls at once.

    speedup: items a second under saturation, with micro-batches against one item a call. added_p99_ms: over a single
    call's 21 ms, when items arrive at four times what single calls could do. idle_wait_ms: wait of a lone item.
    """
    spec = MicroBatchSpec(window_s=0.010, items=64, tokens=8_192, places=4, queue=50_000)

    async def main(clock: VirtualClock) -> dict[str, float]:
        slots = asyncio.Semaphore(spec.places)

        async def upstream(items: Sequence[int]) -> Sequence[int]:
            async with slots:
                await clock.sleep(0.02 + 0.001 * len(items))
            return items

        async def alone(item: int) -> int:
            return (await upstream([item]))[0]

        async def saturate(call: MicroBatcher[int, int] | None, count: int) -> float:
            started = clock.now()
            await asyncio.gather(*((call(i) if call is not None else alone(i)) for i in range(count)))
            return count / (clock.now() - started)

        single = await saturate(None, 2_000)
        batched = await saturate(MicroBatcher(clock, upstream, lambda _: 20, spec), 20_000)
        call = MicroBatcher(clock, upstream, lambda _: 20, spec)
        took: list[float] = []

        async def one(item: int) -> None:
            started = clock.now()
            await call(item)
            took.append(clock.now() - started)

        tasks = []
        for item in range(20_000):
            await clock.sleep(clock.random.expovariate(4 * single))
            tasks.append(asyncio.create_task(one(item)))
        await asyncio.gather(*tasks)
        busy = float(np.percentile(took, 99))
        await clock.sleep(1)
        started = clock.now()
        await call(1)
        return {
            "speedup": round(batched / single, 2),
            "added_p99_ms": round(1000 * (busy - 0.021), 3),
            "idle_wait_ms": round(1000 * (clock.now() - started - 0.021), 3),
            "window_ms": spec.window_s * 1000,
        }

    return loop.run(main, seed)


def overhead(calls: int = 20_000) -> dict[str, float]:
    """Real microseconds of one pass through gate, queue and accounting on this machine, no upstream."""

    async def main() -> dict[str, float]:
        clock = RealClock(1)
        quota = Quota(POOL, spec_of("refill"), MemoryCounters(clock), clock)
        gate = Gate(clock, [Endpoint("provider", clock, quota=quota)])
        took = []
        for _ in range(calls):
            started = time.perf_counter()
            job = Job(input_tokens=1_000, max_tokens=MAX_TOKENS, begin_by=clock.now() + 30, arrived=clock.now())
            leave = await gate.enter(job)
            leave.begun()
            leave.done(CallOutcome.OK, Used(0, 0))
            took.append(time.perf_counter() - started)
        p50, p99 = np.percentile(took, [50, 99])
        return {"p50": round(float(p50) * 1e6, 2), "p99": round(float(p99) * 1e6, 2)}

    return asyncio.run(main())
