"""What sharing costs: milliseconds a request on Redis, processor a request with two workers, and how much faster."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.scaleout import clients, fleet
from benchmarks.scaleout.servers import Process, Redis, log

ROUNDS = 5
REQUESTS = 300
LOADED = 2_000
CONNECTIONS = 32
CORES_FOR_SPEED = 6


async def _timed(url: str, requests: int, round_: int) -> list[float]:
    client = clients.Client([url], "red", round_)
    questions = clients.fresh(10_000 + round_, "red", "metered-model")
    latencies = []
    for _ in range(requests):
        question, model = next(questions)
        latencies.append((await client.ask(0, f"{round_} {question}", model)).seconds * 1e3)
    return latencies


def redis_ms(folder: Path, redis: Redis) -> dict[str, Any]:
    """Median of what limiter and cache on Redis add to a request that is no hit; gateways take turns."""
    provider = Process("benchmarks.scaleout.provider", "0")
    quota = 600_000_000
    shared = fleet.Fleet(folder / "shared", 1, provider, redis, None, quota=quota)
    alone = fleet.Fleet(folder / "alone", 1, provider, None, None, quota=quota)
    added, bases = [], []
    try:
        for round_ in range(ROUNDS + 1):
            base = statistics.median(asyncio.run(_timed(alone.urls[0], REQUESTS, round_)))
            with_redis = statistics.median(asyncio.run(_timed(shared.urls[0], REQUESTS, round_)))
            if round_:  # the first one warms up
                added.append(with_redis - base)
                bases.append(base)
    finally:
        shared.close()
        alone.close()
        provider.close()
    log(f"redis adds {added} ms to {bases}")
    return {"redis_ms_p50": round(statistics.median(added), 3), "alone_ms_p50": round(statistics.median(bases), 3)}


async def _fired(urls: list[str], serial: int, kept: bool) -> float:
    """Requests a second; connections are dealt out to the gateways in turn. `kept`: answers may be kept and shared, and
    half of the questions were asked before."""
    share = LOADED // CONNECTIONS

    async def one(number: int) -> None:
        client = clients.Client([urls[number % len(urls)]], "red", number, kept=kept)
        for count in range(share):
            again = kept and count % 2
            question = f"asked by many {count % 40}" if again else f"{serial} {number} {count} asked once"
            await client.ask(0, question)
        if any(each.status != 200 for each in client.asked):
            raise SystemExit("a request of the load failed")
        for _, writer in client.connections.values():
            writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    return share * CONNECTIONS / (time.perf_counter() - began)


def _cpu(group: fleet.Fleet) -> float:
    """Seconds of processor that all gateways have used."""
    return sum(gateway.cpu() for gateway in group.gateways)


def workers(folder: Path) -> dict[str, Any]:
    """Processor a request of two workers against one, on the same requests; they take turns.

    `cpu_ratio_2` is of requests whose answers are all shared, half of them new: the dearest there are.
    `cpu_ratio_2_plain` is of requests that say no temperature, whose answers nobody keeps. `cpu_ratio_2_apart` is the
    first one of two gateways that share nothing: what the machine charges for two processes in the place of one.
    """
    provider = Process("benchmarks.scaleout.provider", "0.002")
    one = fleet.Fleet(folder / "w1", 1, provider, None, None)
    two = fleet.Fleet(folder / "w2", 1, provider, None, None, more=("--workers", "2"))
    apart = fleet.Fleet(folder / "w3", 2, provider, None, None)
    ratios, plain, alone, speeds, costs = [], [], [], [], []
    try:
        for round_ in range(ROUNDS + 1):
            cost: list[float] = []
            rate: list[float] = []
            bare: list[float] = []
            for group in (one, two, apart):
                for kept, costs_ in ((True, cost), (False, bare)):
                    before = _cpu(group)
                    speed = asyncio.run(_fired(group.urls, round_, kept))
                    costs_.append((_cpu(group) - before) / (LOADED // CONNECTIONS * CONNECTIONS) * 1e6)
                    if kept:
                        rate.append(speed)
            if round_:
                ratios.append(cost[1] / cost[0])
                plain.append(bare[1] / bare[0])
                alone.append(cost[2] / cost[0])
                speeds.append(rate[1] / rate[0])
                costs.append([round(each) for each in cost])
    finally:
        for group in (one, two, apart):
            group.close()
        provider.close()
    log(f"processor of two workers against one: {[round(each, 3) for each in ratios]}; us a request {costs}")
    many = (os.cpu_count() or 1) >= CORES_FOR_SPEED
    return {
        "cpu_ratio_2": round(statistics.median(ratios), 4),
        "cpu_ratio_2_plain": round(statistics.median(plain), 4),
        "cpu_ratio_2_apart": round(statistics.median(alone), 4),
        "speedup_2": round(statistics.median(speeds), 3) if many else None,
        "cpu_us": costs,
    }
