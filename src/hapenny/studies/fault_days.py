"""A compressed day under faults, by its number: what went wrong, what came of it, and which promises were broken.

Theory of operation. A seed decides everything (`fault_plan`): who asks what and when, which faults strike a provider
and for how long, what befalls the process, its ledger, its store of quotas and its clients. The day runs through a
whole gateway in virtual time, with a ledger on disk, so the same seed gives the same day, and a broken promise is found
again by its number:

    python -m hapenny.studies.fault_days 417

Promises: every request ends in its time; money adds up in each row and with the provider's bill; every row is in the
ledger once, but for the last moments of a process that was killed; after the last request nothing is in flight, queued,
reserved or open; no tenant gets an answer that only another one had asked for; no background task has failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from hapenny.admission.keys import OPEN
from hapenny.backends.contract import Backend
from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import STAGES, Config, load
from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.gateway.watching import guards
from hapenny.simulation import loop
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.loop import VirtualClock, VirtualLoop
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.simulation.workload.truth import Truth
from hapenny.studies.broken_parts import FailingCounters, FailingLedgerFile
from hapenny.studies.fault_books import Kept, audit
from hapenny.studies.fault_plan import Ask, DayPlan, Mishap, draw
from hapenny.studies.virtual_run import quiet_collector
from hapenny.throughput.view import view

CARD = "current-2026"
FINISH_S = 60.0
LATE_S = 1.0
DRAIN_S = 5.0
"""How long a process that is restarted waits for what is under way."""
TENANTS = ("tea", "coffee", "water")


class Day(Struct, frozen=True, kw_only=True):
    """What came of a day."""

    seed: int
    requests: int
    answered: int
    failures: dict[str, int]
    """By kind; `left`: the client went away, `cut`: the process ended before the answer did."""
    faults: tuple[str, ...]
    """What struck."""
    bill: int
    """Nano-dollars."""
    broken: tuple[str, ...]
    """Promises that were not kept, in words."""


def config(tokens_per_minute: float, ledger: str) -> Config:
    """What the day runs through: caches, coalescing, quotas, fallbacks; nothing that asks a judge."""
    lineup = LINEUPS[CARD]
    strong, fast = lineup.of_tier("strong"), lineup.of_tier("fast")
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
        "ledger": {"path": ledger},
    }
    return load(text=json.dumps(text))


class _Run:
    """One day under way."""

    def __init__(self, seed: int, plan: DayPlan, clock: VirtualClock, ledger: Path) -> None:
        self.plan = plan
        self.clock = clock
        limits = {"*": Limit(None, plan.tokens_per_minute)}
        self.provider = SimulatedProvider(
            clock, LINEUPS[CARD], seed=seed, truth=Truth(), quotas=limits, faults=plan.faults, chunk=32
        )
        self.settings = config(plan.tokens_per_minute, str(ledger))
        self.ledger = ledger
        self.counters = FailingCounters(clock, plan.of("store_loss"))
        self.kept: list[Kept] = []
        """Rows that were closed, and when; those of processes that were killed until then."""
        self.kills: list[float] = []
        self.broken: list[str] = []
        self.failures: dict[str, int] = {}
        self.answered = 0
        self._had: set[tuple[int, str]] = set()
        self._dead: set[int] = set()

    def gateway(self, number: int, previous: Gateway | None = None) -> Gateway:
        """A process, or what follows it after a reload."""
        backends: dict[str, Backend] = {name: SimulatedBackend(name, self.provider) for name in self.settings.backends}
        gateway = Gateway(self.settings, clock=self.clock, backends=backends, counters=self.counters, previous=previous)
        if previous is None and gateway.ledger is not None:
            gateway.ledger.file.close()
            gateway.ledger.file = FailingLedgerFile(str(self.ledger), self.clock, self.plan.of("ledger_full"))
        gateway.parts.exchanges.observe(
            lambda exchange, row: None if number in self._dead else self.kept.append(Kept(self.clock.now(), row))
        )
        return gateway

    def failed(self, kind: str) -> None:
        """Counts a request that was not answered."""
        self.failures[kind] = self.failures.get(kind, 0) + 1

    async def ask(self, gateway: Gateway, ask: Ask) -> None:
        """One request of a tenant."""
        began = self.clock.now()
        request = Request(
            protocol="openai", model="strong", messages=(Message("user", (Text(ask.question),)),),
            parameters=Parameters(max_tokens=ask.most, temperature=0.0), stream=ask.most != 200,
        )  # fmt: skip
        exchange = gateway.open(request, Context(tenant=TENANTS[ask.tenant]), OPEN)
        exchange.context.tenant = TENANTS[ask.tenant]
        answer: Answer | None = None
        paused = 0.0
        try:
            async with asyncio.timeout(ask.leaves):
                answer = await gateway.answer(exchange)
                async for _ in answer:
                    if ask.pause and paused < 10:
                        await self.clock.sleep(ask.pause)
                        paused += ask.pause
            self.answered += 1
        except Failure as failure:
            self.failed(failure.kind)
        except TimeoutError:
            self.failed("left")
        except asyncio.CancelledError:
            self.failed("cut")
            raise
        finally:
            if answer is not None:
                await answer.aclose()
            gateway.close(exchange)
        took = self.clock.now() - began
        if took > FINISH_S + LATE_S + paused:
            self.broken.append(f"a request took {took:.1f} s, of {FINISH_S:.0f} s")
        key = (ask.tenant, f"{ask.question}{ask.most}")
        if exchange.cache is not None and exchange.cache.hit and key not in self._had:
            self.broken.append(f"tenant {ask.tenant} got an answer that it had not asked for before")
        self._had.add(key)

    async def play(self) -> None:
        """The day: one process after the other, each to the end or the mishap that ends it."""
        plan = self.plan
        asks = list(plan.asks)
        ends = sorted([*plan.of("restart"), *plan.of("kill")], key=lambda mishap: mishap.at)
        jumps, reloads, gone = plan.of("clock_jump"), plan.of("reload"), plan.of("ledger_gone")
        start = self.clock.now()
        number = 0
        while asks or ends:
            end = ends.pop(0) if ends else None
            number += 1
            gateway = self.gateway(number)
            await gateway.start()
            tasks: list[asyncio.Task[None]] = []
            before: list[Gateway] = []
            while asks and (end is None or asks[0].at < end.at):
                ask = asks.pop(0)
                await self._until(start + ask.at)
                while jumps and jumps[0].at <= ask.at:
                    self.clock.epoch += jumps.pop(0).amount
                while gone and gone[0].at <= ask.at:
                    gone.pop(0)
                    self._delete()
                while reloads and reloads[0].at <= ask.at:
                    reloads.pop(0)
                    before.append(gateway)
                    gateway = self.gateway(number, gateway)
                    await gateway.start()
                tasks.append(asyncio.get_running_loop().create_task(self.ask(gateway, ask)))
            if end is not None:
                await self._until(start + end.at)
            await self._end(number, end, gateway, before, tasks)
        # What was put aside while the disk was full waits for a process.
        evening = self.gateway(number + 1)
        await evening.start()
        await evening.aclose()

    async def _until(self, at: float) -> None:
        if at > self.clock.now():
            await self.clock.sleep(at - self.clock.now())

    async def _end(
        self, number: int, end: Mishap | None, gateway: Gateway, before: list[Gateway], tasks: list[asyncio.Task[None]]
    ) -> None:
        """A process ends: as it should, with requests under way, or killed."""
        if end is not None and end.kind == "kill":
            await self._kill(number, gateway)
            return
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_S if end is not None else None)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                self.broken.append(f"a request ended in {type(result).__name__}: {result}")
        for earlier in before:
            await earlier.aclose(gateway)
        await gateway.settled()
        self._look(gateway)
        await gateway.aclose()
        if self.counters.outstanding:
            self.broken.append(f"{self.counters.outstanding} reservations are left")
            self.counters.forget()

    async def _kill(self, number: int, gateway: Gateway) -> None:
        """Nothing of the process goes on, and nothing of it is closed."""
        self._dead.add(number)
        self.kills.append(self.clock.now())
        running = asyncio.get_running_loop()
        assert isinstance(running, VirtualLoop)
        own = asyncio.current_task()
        others = [task for task in running.pending() if task is not own]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self.counters.forget()
        if gateway.ledger is not None:
            gateway.ledger.file.close()

    def _delete(self) -> None:
        for path in self.ledger.parent.glob(f"{self.ledger.name}*"):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

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


def day(seed: int, requests: int = 1_000) -> Day:
    """Runs the day of a seed; equal seeds give equal days."""
    plan = draw(seed, requests)
    with tempfile.TemporaryDirectory(prefix="hapenny-day-") as folder, quiet_collector():
        ledger = Path(folder, "ledger.db")

        async def main(clock: VirtualClock) -> _Run:
            run = _Run(seed, plan, clock, ledger)
            await run.play()
            return run

        run = loop.run(main, seed)
        broken = [*run.broken, *audit(run.kept, ledger, plan, run.kills, run.provider.bill.nano)]
    return Day(
        seed=seed, requests=requests, answered=run.answered, failures=run.failures,
        faults=(*[fault.kind for fault in plan.faults], *[mishap.kind for mishap in plan.mishaps]),
        bill=run.provider.bill.nano, broken=tuple(dict.fromkeys(broken)),
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
