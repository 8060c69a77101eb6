"""A compressed day under faults, by its number: what went wrong, what came of it, and which promises were broken.

Theory of operation. A seed decides everything: who asks what and when, which faults strike a provider and for how long,
when the machine's clock jumps, and when the process is restarted. The day runs through a whole gateway in virtual time,
so the same seed gives the same day, and a broken promise is found again by its number:

    python -m hapenny.studies.fault_days 417

Faults are those of the simulated provider (throttles, errors, slow, stuck and silent calls, early ends, cuts), jumps of
the wall clock in both directions, and restarts with requests under way. Promises: every request ends in its time; money
adds up in each row and with the provider's bill; after the last request nothing is in flight, queued or open; no tenant
gets an answer that only another one had asked for; no background task has failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence

from msgspec import Struct

from hapenny.admission.keys import OPEN
from hapenny.backends.contract import Backend
from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import STAGES, Config, load
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.gateway.watching import guards
from hapenny.simulation import loop
from hapenny.simulation.cards import DECKS
from hapenny.simulation.faults import KINDS, Fault
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.studies.virtual_run import quiet_collector
from hapenny.telemetry.rows import Row
from hapenny.throughput.view import view
from hapenny.workload.truth import Truth

CARD = "current-2026"
DAY_S = 1_800.0
"""How long a compressed day is: faults last minutes in it, not hours."""
FINISH_S = 60.0
LATE_S = 1.0
TENANTS = ("tea", "coffee", "water")


class Day(Struct, frozen=True, kw_only=True):
    """What came of a day."""

    seed: int
    requests: int
    answered: int
    failures: dict[str, int]
    """By kind."""
    faults: tuple[str, ...]
    """What struck, in order."""
    bill: int
    """Nano-dollars."""
    broken: tuple[str, ...]
    """Promises that were not kept, in words."""


class _Plan(Struct, frozen=True):
    """What is to happen."""

    faults: list[Fault]
    jumps: list[tuple[float, float]]
    """When the wall clock jumps, and by how many seconds."""
    restart: float | None
    asks: list[tuple[float, int, str, int]]
    """When, tenant, question and the answer's limit."""
    tokens_per_minute: float


def draw(seed: int, requests: int) -> _Plan:
    """The day of a seed."""
    chance = RealClock(seed).random
    faults = []
    for _ in range(chance.randint(2, 6)):
        begin = chance.uniform(0, DAY_S * 0.8)
        faults.append(
            Fault(
                kind=chance.choice(KINDS), share=chance.choice((0.1, 0.5, 1.0)), begin=begin,
                end=begin + chance.uniform(10, 240), factor=chance.uniform(2, 20), at=chance.random(),
            )
        )  # fmt: skip
    jumps = [
        (chance.uniform(0, DAY_S), chance.choice((-7_200.0, -90.0, 90.0, 86_400.0)))
        for _ in range(chance.randint(0, 2))
    ]
    restart = chance.uniform(0.2, 0.8) * DAY_S if chance.random() < 0.5 else None
    known = [f"Where is order {chance.randint(1, 10**6)}?" for _ in range(max(5, requests // 4))]
    asks = []
    for number in range(requests):
        question = chance.choice(known) if chance.random() < 0.5 else f"Which volume is number {seed} {number}?"
        asks.append((chance.uniform(0, DAY_S), chance.randrange(3), question, chance.choice((60, 200, 400))))
    asks.sort()
    # Between half and thrice what is asked for.
    quota = requests / (DAY_S / 60) * 400 * chance.choice((0.5, 1.0, 3.0))
    return _Plan(sorted(faults, key=lambda fault: fault.begin), sorted(jumps), restart, asks, quota)


def config(tokens_per_minute: float) -> Config:
    """What the day runs through: caches, coalescing, quotas, fallbacks; nothing that asks a judge."""
    deck = DECKS[CARD]
    strong, fast = deck.of_tier("strong"), deck.of_tier("fast")
    assert strong is not None
    assert fast is not None
    modes = {spec.name: "off" for spec in STAGES} | {"exact": "on", "flights": "on", "prefix": "on", "throughput": "on"}
    route = {"stages": modes, "holdout": 0.0, "finish_s": FINISH_S, "begin_s": 20.0, "idle_s": 15.0}
    text = {
        "backends": {"simulated": {"kind": "simulated", "card": CARD}},
        "tiers": {"strong": strong.id, "fast": fast.id},
        "fallbacks": {"strong": ["fast"]},
        "routes": {"default": route},
        "stages": {"throughput": {"models": {strong.id: {"quota": {"tokens_per_minute": tokens_per_minute}}}}},
        "ledger": None,
    }
    return load(text=json.dumps(text))


class _Run:
    """One day under way."""

    def __init__(self, seed: int, plan: _Plan, clock: VirtualClock) -> None:
        self.plan = plan
        self.clock = clock
        limits = {"*": Limit(None, plan.tokens_per_minute)}
        self.provider = SimulatedProvider(
            clock, DECKS[CARD], seed=seed, truth=Truth(), quotas=limits, faults=plan.faults, chunk=32
        )
        self.settings = config(plan.tokens_per_minute)
        self.rows: list[Row] = []
        self.broken: list[str] = []
        self.failures: dict[str, int] = {}
        self.answered = 0
        self._had: set[tuple[int, str]] = set()

    def gateway(self) -> Gateway:
        """A process."""
        backends: dict[str, Backend] = {name: SimulatedBackend(name, self.provider) for name in self.settings.backends}
        gateway = Gateway(self.settings, clock=self.clock, backends=backends)
        gateway.parts.exchanges.observe(lambda exchange, row: self.rows.append(row))
        return gateway

    async def ask(self, gateway: Gateway, tenant: int, question: str, most: int) -> None:
        """One request of a tenant."""
        began = self.clock.now()
        request = Request(
            protocol="openai", model="strong", messages=(Message("user", (Text(question),)),),
            parameters=Parameters(max_tokens=most, temperature=0.0), stream=most != 200,
        )  # fmt: skip
        exchange = gateway.open(request, Context(tenant=TENANTS[tenant]), OPEN)
        exchange.context.tenant = TENANTS[tenant]
        try:
            answer = await gateway.answer(exchange)
            async for _ in answer:
                pass
            self.answered += 1
        except Failure as failure:
            self.failures[failure.kind] = self.failures.get(failure.kind, 0) + 1
        finally:
            gateway.close(exchange)
        took = self.clock.now() - began
        if took > FINISH_S + LATE_S:
            self.broken.append(f"a request took {took:.1f} s, of {FINISH_S:.0f} s")
        if exchange.cache is not None and exchange.cache.hit and (tenant, f"{question}{most}") not in self._had:
            self.broken.append(f"tenant {tenant} got an answer that it had not asked for before")
        self._had.add((tenant, f"{question}{most}"))

    async def play(self) -> None:
        """The day, with its restart."""
        plan, clock = self.plan, self.clock
        start, jumps = clock.now(), list(plan.jumps)
        asks = list(plan.asks)
        while asks:
            until = plan.restart if plan.restart is not None and asks[0][0] < plan.restart else float("inf")
            async with self.gateway() as gateway:
                tasks = []
                while asks and asks[0][0] < until:
                    at, tenant, question, most = asks.pop(0)
                    if start + at > clock.now():
                        await clock.sleep(start + at - clock.now())
                    while jumps and jumps[0][0] <= at:
                        clock.epoch += jumps.pop(0)[1]
                    tasks.append(asyncio.get_running_loop().create_task(self.ask(gateway, tenant, question, most)))
                await asyncio.gather(*tasks)
                await gateway.settled()
                self._look(gateway)

    def _look(self, gateway: Gateway) -> None:
        """What must hold when nothing is under way."""
        for route in view(gateway.parts.dispatchers):
            if route["queued"]:
                self.broken.append(f"{route['queued']} requests are still queued for {route['model']}")
            for endpoint in route["endpoints"]:
                if endpoint["in_flight"]:
                    self.broken.append(f"{endpoint['in_flight']} calls are still in flight at {endpoint['name']}")
        if self.provider.open_calls:
            self.broken.append(f"{self.provider.open_calls} calls are still open at the provider")
        for guard in guards(gateway.parts):
            if guard.failures:
                self.broken.append(f"the task of {guard.name} failed {guard.failures} times")

    def audit(self) -> None:
        """Whether the money adds up."""
        for row in self.rows:
            if row.unpriced or row.actual is None or row.baseline is None:
                continue
            if row.baseline - sum(row.savings.values()) - (row.estimate_error or 0) != row.actual:
                self.broken.append(f"row {row.id}: baseline, savings and price do not add up")
        reported = [row for row in self.rows if row.reported and not row.unpriced]
        if len(reported) == len(self.rows) and sum(row.actual or 0 for row in self.rows) != self.provider.bill.nano:
            self.broken.append("the books and the provider's bill differ")


def day(seed: int, requests: int = 1_000) -> Day:
    """Runs the day of a seed; equal seeds give equal days."""
    plan = draw(seed, requests)

    async def main(clock: VirtualClock) -> _Run:
        run = _Run(seed, plan, clock)
        await run.play()
        return run

    with quiet_collector():
        run = loop.run(main, seed)
    run.audit()
    what = [fault.kind for fault in plan.faults] + ["clock_jump"] * len(plan.jumps)
    return Day(
        seed=seed, requests=requests, answered=run.answered, failures=run.failures,
        faults=(*what, *(["restart"] if plan.restart is not None else [])), bill=run.provider.bill.nano,
        broken=tuple(dict.fromkeys(run.broken)),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs days by their numbers and prints what came of them."""
    parser = argparse.ArgumentParser(prog="hapenny.studies.fault_days", description=main.__doc__)
    parser.add_argument("seeds", nargs="+", type=int)
    parser.add_argument("--requests", type=int, default=1_000)
    options = parser.parse_args(arguments)
    for seed in options.seeds:
        ran = day(seed, options.requests)
        print(f"{seed}: {ran.answered} of {ran.requests} answered, {', '.join(ran.faults)}; {ran.failures}")
        for line in ran.broken:
            print(f"  broken: {line}")


if __name__ == "__main__":
    main()
