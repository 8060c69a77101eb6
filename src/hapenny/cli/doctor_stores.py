"""What `hapenny doctor` finds out about stores: whether they answer, how fast, and whether they fit their use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hapenny.config import Config
from hapenny.config.checking_shared import hidden
from hapenny.core.clock import Clock, RealClock
from hapenny.throughput.regions import Problem

PATIENCE_S = 3.0
SLOW_MS = 5.0
SKEW_S = 2.0
LOST = ("allkeys-lru", "allkeys-lfu", "allkeys-random")
"""Eviction policies that throw out what has no lifetime."""

Findings = tuple[list[Problem], list[str]]


def look_at_stores(config: Config, clock: Clock | None = None) -> Findings:
    """Asks every Redis and PostgreSQL that the configuration names; what is wrong, and a line for each that is well."""
    clock = clock or RealClock()
    named: dict[str, tuple[str, set[str]]] = {}
    for at, url, what in (
        ("$.shared", config.shared, "answers"),
        ("$.counters", config.counter_store(), "quotas"),
        ("$.admission.store", config.budget_store(), "budgets"),
        ("$.ledger.path", config.ledger.path if config.ledger is not None else "", "ledger"),
    ):
        if "://" in url:
            named.setdefault(url, (at, set()))[1].add(what)
    problems: list[Problem] = []
    proved: list[str] = []
    for url, (at, holds) in named.items():
        ask = _postgres if url.startswith("postgres") else _redis
        stores, lines = asyncio.run(_asked(ask, url, at, holds, clock))
        problems += stores
        proved += lines
    return problems, proved


async def _asked(
    ask: Callable[[str, str, set[str], Clock], Awaitable[Findings]], url: str, at: str, holds: set[str], clock: Clock
) -> Findings:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await ask(url, at, holds, clock)
    except Exception as error:  # whatever keeps it from answering
        what = f"{hidden(url)} cannot be used ({type(error).__name__})"
        return [Problem(at, what, "start it, or correct address, user and password")], []


async def _redis(url: str, at: str, holds: set[str], clock: Clock) -> Findings:
    import redis.asyncio as client

    problems: list[Problem] = []
    redis: Any = client.Redis.from_url(url.replace("valkey:", "redis:", 1))
    try:
        await redis.ping()
        trip = await _trip_ms(redis.ping, clock)
        seconds, micro = await redis.time()
        problems += _pace(at, trip) + _skew(at, seconds + micro / 1e6 - clock.wall())
        settings = await redis.config_get("maxmemory*", "appendonly")
        policy = settings.get("maxmemory-policy", "")
        if policy in LOST:
            what = (
                f"its eviction policy is {policy}: invalidations{' and budgets' if 'budgets' in holds else ''} may go"
            )
            problems.append(Problem(at, what, "maxmemory-policy noeviction, or one of volatile-*"))
        if "budgets" in holds and settings.get("appendonly") == "no":
            what = "it keeps nothing on disk: what was spent of budgets is forgotten when it restarts"
            problems.append(Problem(at, what, "appendonly yes, or admission.store: postgresql://…"))
        version = (await redis.info("server")).get("redis_version", "?")
        return problems, [f"store {hidden(url)}: version {version}, {trip:.1f} ms"]
    finally:
        await redis.aclose()


async def _postgres(url: str, at: str, holds: set[str], clock: Clock) -> Findings:
    import psycopg

    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        trip = await _trip_ms(lambda: connection.execute("SELECT 1"), clock)
        row = await (
            await connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8, version()")
        ).fetchone()
        assert row is not None
        problems = _pace(at, trip) + _skew(at, row[0] - clock.wall())
        version = " ".join(str(row[1]).split()[:2])
        return problems, [f"store {hidden(url)}: {version}, {trip:.1f} ms"]


async def _trip_ms(ask: Callable[[], Awaitable[object]], clock: Clock) -> float:
    """Milliseconds of the fastest of ten round trips: how far the store is, whatever else this machine does."""
    times = []
    for _ in range(10):
        began = clock.now()
        await ask()
        times.append(clock.now() - began)
    return min(times) * 1e3


def _pace(at: str, ms: float) -> list[Problem]:
    if ms <= SLOW_MS:
        return []
    return [Problem(at, f"a round trip takes {ms:.1f} ms, and requests wait for it", "a store in the same zone")]


def _skew(at: str, seconds: float) -> list[Problem]:
    if abs(seconds) <= SKEW_S:
        return []
    return [Problem(at, f"its clock and this machine's are {abs(seconds):.0f} s apart", "NTP on both")]
