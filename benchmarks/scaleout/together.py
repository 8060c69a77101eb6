"""Four gateways under the load of 64 clients: what is overspent, called twice, and answered from what is shared."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.scaleout import clients, fleet
from benchmarks.scaleout.provider import answer_to
from benchmarks.scaleout.servers import Postgres, Process, Redis, log

GATEWAYS = 4
CLIENTS = 64
QUESTIONS = 3_000
SPENDERS = 8
"""Clients of a tenant with a budget."""
METERED = 8
"""Clients of a model with a quota."""
QUOTA = 12_000
PAUSE_S = 0.05


async def load(urls: list[str], seconds: float, counts: list[int] | None = None) -> list[clients.Client]:
    """Runs the clients: for so long, or, where `counts` says, so many requests each."""
    everyone: list[tuple[clients.Client, Any]] = []
    for number in range(CLIENTS):
        if number < SPENDERS:
            tenant, questions = "bound", clients.fresh(number, "bound", "mock-model")
        elif number < SPENDERS + METERED:
            tenant, questions = "red", clients.fresh(number, "red", "metered-model")
        else:
            tenant = ("red", "blue")[number % 2]
            questions = clients.popular(number, tenant, QUESTIONS)
        if counts is not None:
            questions = islice(questions, counts[number])
        everyone.append((clients.Client(urls, tenant, number, pause_s=PAUSE_S), questions))
    until = time.monotonic() + (seconds if counts is None else 10 * seconds)
    await asyncio.gather(*(client.run(questions, until) for client, questions in everyone))
    return [client for client, _ in everyone]


def _hit_rate(crowd: list[clients.Client]) -> float:
    asked = [each for client in crowd[SPENDERS + METERED :] for each in client.asked if each.status == 200]
    return sum(each.hit for each in asked) / max(1, len(asked))


def measure(folder: Path, redis: Redis, postgres: Postgres, seconds: float) -> dict[str, Any]:
    """The figures of the first paragraph."""
    provider = Process("benchmarks.scaleout.provider", "0.1")
    # Spent well before the end, also where the machine is slow: a question costs about four hundredths of a cent.
    budget = SPENDERS * seconds * 0.8 * 4e-4
    group = fleet.Fleet(folder / "four", GATEWAYS, provider, redis, postgres, budget=budget, quota=QUOTA)
    try:
        began = time.time()
        crowd = asyncio.run(load(group.urls, seconds))
        span = time.time() - began
        record = fleet.calls(provider)
    finally:
        group.close()
    bound = [line for line in record if line[1] == "mock-model" and line[0] in _answers(crowd[:SPENDERS])]
    spent = fleet.bill(bound) / 1e9
    metered = sum(line[2] + line[3] for line in record if line[1] == "metered-model")
    allowed = QUOTA + QUOTA * span / 60
    digests = [line[0] for line in record]
    wrong = sum(not each.right or each.status == 500 for client in crowd for each in client.asked)
    four = _hit_rate(crowd)
    counts = [len(client.asked) for client in crowd]
    log(f"four gateways: {sum(counts)} requests in {span:.0f} s, ${spent:.4f} of ${budget:.4f}, hits {four:.4f}")
    # The same questions, asked of one gateway.
    fleet.forget(provider)
    one = fleet.Fleet(folder / "one", 1, provider, None, None, budget=budget, quota=QUOTA)
    few = [0 if number < SPENDERS + METERED else count for number, count in enumerate(counts)]
    try:
        alone = asyncio.run(load(one.urls, seconds, few))
    finally:
        one.close()
        provider.close()
    single = _hit_rate(alone)
    log(f"one gateway: hits {single:.4f}")
    return {
        "overspend": round(max(0.0, spent - budget), 9),
        "quota_overspend": round(max(0.0, metered - allowed), 1),
        "double_calls": len(digests) - len(set(digests)),
        "hit_rate_delta": round(abs(four - single), 5),
        "together": {
            "requests": sum(counts), "seconds": round(span, 1), "hit_rate": round(four, 5),
            "hit_rate_one": round(single, 5), "wrong": wrong, "budget_used": round(spent / budget, 4),
            "quota_used": round(metered / allowed, 4),
            "refused": sum(each.status not in (200, 0) for client in crowd for each in client.asked),
            "lost": sum(each.status == 0 for client in crowd for each in client.asked),
        },
    }  # fmt: skip


def _answers(crowd: list[clients.Client]) -> set[str]:
    """What the provider answers these clients, who ask what nobody else does."""
    answers = set()
    for number, client in enumerate(crowd):
        for question, _ in islice(clients.fresh(number, client.tenant, ""), len(client.asked) + 1):
            answers.add(answer_to(question))
    return answers
