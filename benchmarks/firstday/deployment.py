"""One customer's gateway over the weeks, before a simulated provider in virtual time, and what its report says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

import msgspec

from benchmarks.firstday.customers import DAYS, Customer
from hapenny.backends.contract import Backend
from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import Config
from hapenny.gateway.gateway import Gateway
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.simulation.workload.shoppers import Message
from hapenny.simulation.workload.truth import Truth
from hapenny.studies.player import Player, Record
from hapenny.telemetry.advice import Acted, Advised, Watched, advise
from hapenny.telemetry.figures import Advice, Spent
from hapenny.telemetry.rows import Row

CARD = "current-2026"


class Ran(msgspec.Struct):
    """A week: what came of it, what it cost with all that ran beside it, and what the report says at its end."""

    messages: list[Message]
    records: list[Record]
    paid: int
    baseline: int
    background: int
    so_far: tuple[int, int]
    """Paid and baseline since the configuration was changed last: what the report is about."""
    advised: Advised

    @property
    def saved(self) -> float:
        """Share of the baseline that was not paid."""
        return 1 - self.paid / self.baseline if self.baseline else 0.0

    @property
    def evidence(self) -> float:
        """Audits and verdicts, as a share of what was paid."""
        return self.background / self.paid if self.paid else 0.0

    @property
    def reported(self) -> float:
        """Share of the baseline that was not paid since the configuration was changed last."""
        paid, baseline = self.so_far
        return 1 - paid / baseline if baseline else 0.0

    @property
    def coming(self) -> float:
        """What techniques under way are likely to save more in as much traffic again, as a share of the baseline."""
        return sum(way.gain for way in self.advised.underway) / max(1, self.so_far[1])

    @property
    def settled(self) -> bool:
        """Whether evidence has opened something, and will be looked at next when a week is over."""
        opened = [way for way in self.advised.underway if way.state == "open"]
        return bool(opened) and all(way.after == 0 or way.days > DAYS for way in opened)

    def told(self) -> list[str]:
        """The advice in a line each."""
        steps = [
            f"{step.what}: {'up to ' if step.after else ''}+ {step.saves / max(1, self.so_far[1]):.3f}"
            + (f" after about {step.after} requests, {step.days:.1f} days" if step.after else "")
            for step in self.advised.steps
        ]
        return steps + [
            f"{way.name} is {way.state} and acts on {way.share:.2f}, by {way.pairs} pairs; next look after {way.after} "
            f"requests, {way.days:.1f} days; likely + {way.gain / max(1, self.so_far[1]):.3f}"
            for way in self.advised.underway
        ]


class Deployment:
    """A customer's gateway, which a step reloads.

    Args:
        customer: whose requests it gets.
        config: to begin with.
        model: what its clients ask for.
        clock: virtual.
        seed: of the provider.
    """

    def __init__(self, customer: Customer, config: Config, model: str, clock: VirtualClock, seed: int) -> None:
        self.customer, self.model, self._config = customer, model, config
        self._provider = SimulatedProvider(
            clock, LINEUPS[CARD], seed=seed, latents=3, truth=Truth(), quotas={"*": Limit()}, chunk=32
        )
        self._backends: dict[str, Backend] = {name: SimulatedBackend(name, self._provider) for name in config.backends}
        self._clock = clock
        self._rows: list[Row] = []
        self._paid, self._weeks = 0, 0
        self._gateway = Gateway(config, clock=clock, backends=self._backends)
        self._watch()

    async def __aenter__(self) -> Deployment:
        await self._gateway.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._gateway.aclose()

    async def change(self, changed: Callable[[Config, dict[str, object]], Config], steps: Sequence[Advice]) -> None:
        """Does what advice says."""
        for step in steps:
            self._config = changed(self._config, step.change)
            self.model = str(step.change.get("model") or self.model)
        self._rows, self._paid, self._weeks = [], 0, 0
        before = self._gateway
        self._gateway = Gateway(self._config, clock=self._clock, backends=self._backends, previous=before)
        self._watch()
        await self._gateway.start()
        await before.aclose()

    async def week(self, messages: list[Message]) -> Ran:
        """Plays a week."""
        seen, before = len(self._rows), self._provider.bill.nano
        customer = self.customer
        player = Player(
            self._gateway, messages, customer.shop, self._provider, model=self.model, shape=customer.shape, label=True
        )
        records = await player.play()
        await self._gateway.settled()
        paid = self._provider.bill.nano - before
        self._paid, self._weeks = self._paid + paid, self._weeks + 1
        rows = self._rows[seen:]
        return Ran(
            messages,
            records,
            paid,
            sum(row.baseline or 0 for row in rows if not row.background),
            sum(row.actual or 0 for row in rows if row.background),
            (self._paid, sum(row.baseline or 0 for row in self._rows if not row.background)),
            self._advised(self._paid),
        )

    def _watch(self) -> None:
        self._gateway.parts.exchanges.observe(lambda exchange, row: self._rows.append(row))

    def _advised(self, paid: int) -> Advised:
        """What `hapenny report` says of the time since the configuration was changed last."""
        clients = [row for row in self._rows if not row.background and not row.unpriced]
        budgets = [
            Spent(
                route=route, technique=now.technique, state=now.state, why=now.why, limit=now.limit, bound=now.bound,
                loss=now.loss, pairs=now.pairs, share=now.share, ahead=budget.outlook(now.technique),
            )
            for route, budget in self._gateway.parts.budgets.routes.items()
            for now in budget.standings()
        ]  # fmt: skip
        called = [row for row in clients if row.actual]
        acted = {}
        for each in budgets:
            left = [row for row in called if not row.savings.get(each.technique)]
            acted[each.route, each.technique] = Acted(
                len(called),
                len(called) - len(left),
                sum(row.baseline or 0 for row in called),
                sum(row.baseline or 0 for row in left),
                sum(row.actual or 0 for row in left),
            )
        watched = [Watched(row.actual or 0, row.would_save, row.route) for row in clients if row.would_save]
        return advise(
            watched, paid, requests=len(clients), seconds=self._weeks * DAYS * 86_400, budgets=budgets, acted=acted
        )
