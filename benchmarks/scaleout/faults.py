"""kill -9 and SIGSTOP of a gateway, of Redis, of PostgreSQL, in the middle of load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.scaleout import clients, fleet
from benchmarks.scaleout.servers import Postgres, Process, Redis, log

GATEWAYS = 3
CLIENTS = 18
BEFORE_S, AWAY_S, AFTER_S = 4.0, 4.0, 8.0
DEADLINE_S = 15.0
"""`begin_s` of the gateways: nobody may wait longer."""
SLACK_S = 1.0
WITHIN_S = 1.0
"""Rows of so long before a kill may be lost."""
RECOVER_S = 30.0


class Fault(NamedTuple):
    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    gateway: bool = False
    kills: bool = False


def measure(folder: Path, redis: Redis, postgres: Postgres) -> dict[str, Any]:
    """By fault: rows that should be in the books and are not, wrong answers, seconds until all is as before."""
    provider = Process("benchmarks.scaleout.provider", "0.05")
    group = fleet.Fleet(folder / "faults", GATEWAYS, provider, redis, postgres)
    victim = group.gateways[0]
    faults = [
        Fault("gateway_kill", victim.kill, victim.start, gateway=True, kills=True),
        Fault("gateway_stop", victim.stop, victim.go_on, gateway=True),
        Fault("redis_kill", redis.kill, redis.start),
        Fault("redis_stop", redis.stop, redis.go_on),
        Fault("postgres_kill", postgres.kill, postgres.start),
        Fault("postgres_stop", postgres.stop, postgres.go_on),
    ]
    figures = {}
    try:
        for number, fault in enumerate(faults):
            figures[fault.name] = asyncio.run(_one(number, fault, group, postgres))
            log(f"{fault.name}: {figures[fault.name]}")
    finally:
        group.close()
        provider.close()
    return figures


async def _one(number: int, fault: Fault, group: fleet.Fleet, postgres: Postgres) -> dict[str, Any]:
    urls = group.urls
    crowd = [
        clients.Client(urls, ("red", "blue", "bound")[place % 3], 1_000 * number + place, pause_s=0.1)
        for place in range(CLIENTS)
    ]
    until = time.monotonic() + BEFORE_S + AWAY_S + AFTER_S
    tasks = [
        asyncio.create_task(
            client.run(
                clients.popular(number * 100 + place, f"{client.tenant}{number}", 2_000)
                if place % 2
                else clients.fresh(number * 100 + place, client.tenant, "mock-model"),
                until,
            )
        )
        for place, client in enumerate(crowd)
    ]
    loop = asyncio.get_running_loop()
    await asyncio.sleep(BEFORE_S)
    streams = [
        asyncio.create_task(clients.stream(url, f"stream {number} {place}", "red"))
        for place, url in enumerate(urls[1:] if fault.gateway else urls)
    ]
    await asyncio.sleep(0.3)  # they have begun
    hit_at = time.time()
    await loop.run_in_executor(None, fault.begin)
    await asyncio.sleep(AWAY_S)
    # A gateway's own start counts as ours; a server's does not: it counts from when it answers again.
    began = time.monotonic()
    await loop.run_in_executor(None, fault.end)
    if not fault.gateway:
        began = time.monotonic()
    recovered = await _recovery(number, began, urls, postgres, loop)
    whole = await asyncio.gather(*streams)
    await asyncio.gather(*tasks)
    await asyncio.sleep(3.0)  # what waits is written
    asked = [each for client in crowd for each in client.asked]
    there = {id for (id,) in await loop.run_in_executor(None, lambda: postgres.query("SELECT id FROM requests"))}
    expected = [
        each
        for each in asked
        if each.status == 200
        and each.id
        # Only the killed gateway may lose rows, and only those of its last second.
        and not (fault.gateway and fault.kills and each.gateway == 0
                 and hit_at - WITHIN_S <= each.at + each.seconds <= hit_at + 0.5)
    ]  # fmt: skip
    late = [
        each for each in asked
        if each.seconds > DEADLINE_S + SLACK_S and not (fault.gateway and each.gateway == 0)
    ]  # fmt: skip
    wrong = (
        sum(not each.right for each in asked)
        + sum(each.status == 500 for each in asked)
        + len(late)
        + sum(not each for each in whole)
    )
    return {
        "lost_rows": sum(each.id not in there for each in expected),
        "wrong": wrong,
        "recovery_s": round(recovered, 2),
        "requests": len(asked),
        "unavailable": sum(each.status not in (200, 0) for each in asked),
        "connections_lost": sum(each.status == 0 for each in asked),
        "longest_s": round(max((e.seconds for e in asked if not (fault.gateway and e.gateway == 0)), default=0.0), 2),
    }


async def _recovery(
    number: int, began: float, urls: list[str], postgres: Postgres, loop: asyncio.AbstractEventLoop
) -> float:
    """Seconds until every gateway answers, finds what another one has answered, and has its rows in the books."""
    probe = clients.Client(urls, "bound", number)
    tries = 0
    ends = began + RECOVER_S
    while time.monotonic() < ends:
        tries += 1
        question = f"probe {number} {tries}"
        first = await probe.ask(0, question)
        others = [await probe.ask(place, question) for place in range(1, len(urls))] if first.status == 200 else []
        good = first.status == 200 and all(each.status == 200 and each.hit for each in others) and bool(others)
        if good:
            served = time.monotonic() - began
            for _ in range(50):
                try:
                    ids = [each.id for each in (first, *others)]
                    sql = "SELECT count(*) FROM requests WHERE id = ANY(%s)"
                    found = await loop.run_in_executor(None, partial(postgres.query, sql, ids))
                    if found[0][0] == len(ids):
                        # Rows are written each half second: what waited for that is no lack of recovery.
                        return max(served, time.monotonic() - began - 0.5)
                except OSError:
                    pass
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)
    return RECOVER_S
