"""Audits of live traffic: a drawn share of finished requests is also asked of the baseline, off the path, in a
background row of its own, and compared. What comes out opens techniques, watches them and moves the loss budget.

Where no technique changed a drawn answer, it is itself what everything-off answers: then each closed technique that may
still earn its certificate answers the question too, a *probe*, which costs what the cheap model costs and not a second
answer of the dear one. Where a technique changed the answer, the baseline is asked, an *audit*, and whichever cheaper
options evidence still wants are compared with the same reference. Losses are net: worse answers less better ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Target
from hapenny.core.log import get_logger
from hapenny.core.messages import Request
from hapenny.core.stage import PREVIEWS, Decision
from hapenny.evidence.audits import CHANGED as _CHANGED
from hapenny.evidence.audits import AuditOptions, Auditor
from hapenny.evidence.facts import Said
from hapenny.evidence.grounding import grounded
from hapenny.evidence.loss_budget import TIERS, LossBudgets, RouteBudget, cell
from hapenny.evidence.pair_judge import PairJudge, PairVerdict, plain
from hapenny.evidence.step_back import StepBack
from hapenny.evidence.tier_options import checked, tier_of
from hapenny.telemetry.rows import Row

_log = get_logger("hapenny.audits")

Judged: TypeAlias = Callable[[Said], Awaitable[PairVerdict]]
"""Told the answer that was asked for, gives the verdict on it."""

_SEMANTIC = 0.1
"""Chance of a drawn semantic hit to be audited here: the cache verifies a share of its hits by itself."""
_RARELY = 0.05
_DEAR = {"prose": 0.4}
"""Chance of a drawn request to be asked of the dear model once more, to see what less context would do, by technique:
shorter prose is proposed for few requests while it is closed."""


class Ask(Protocol):
    """Asks a model off the path, in a row of its own, in which the verdict is noted that `judged` gives on its answer;
    returns answer and cost in nano-dollars. `probe`: the technique whose answer it is that is judged; "": the audited
    answer is judged against this one."""

    async def __call__(
        self, audited: Exchange, request: Request, target: Target, judged: Judged, *, probe: str = ""
    ) -> tuple[Said, int]:
        """Asks; the audited exchange gives route and context."""


class _Rival(NamedTuple):
    """What another model answered, what that cost in nano-dollars, and the verdict on it."""

    answer: Said
    cost: int
    verdict: PairVerdict


class Probe(Struct, frozen=True, kw_only=True):
    """What routing might have done with a request the strong model answered. `would`: it would have, were it on."""

    target: Target
    score: float
    would: bool


class Routed(Protocol):
    """The router, as audits know it."""

    def observe(self, route: str, intent: str, loss: float) -> bool:
        """Takes the loss of a drawn request of its own; true if its promise is now refuted."""

    def paired(self, route: str, intent: str, score: float, loss: float) -> None:
        """Takes what the weak model would lose on a drawn request, whoever served it."""

    def probe(self, exchange: Exchange) -> Probe | None:
        """The weak model for a request that it did not serve; None where there is nothing to learn."""

    def served(self, exchange: Exchange) -> str:
        """What routing chose for a request and its tier answered, an option or a tier; "" where it did not choose."""

    def escalated(self, exchange: Exchange) -> str:
        """The option whose answer was not carried by the request's evidence, so that the baseline answered; else ""."""

    def tier(self, name: str, exchange: Exchange) -> Target | None:
        """The model of a tier; None where it lacks what the request needs."""


class Quality(Decision):
    """What the judge said of the audited answer: quality in [0, 1] beside the baseline's, 0 where it is worse."""

    score: float


class LiveAudit:
    """Audits the traffic of a deployment.

    Args:
        options: share and budget by route; a route without is not audited.
        budgets: what may be lost, and what is open.
        switch: which techniques have stepped back.
        clock: chance and the day.
        ask: asks the baseline or the weak model.
        judges: by route.
        spawn: runs work off the path.
        router: told of each drawn `auto` request.
    """

    def __init__(
        self,
        options: Mapping[str, AuditOptions],
        budgets: LossBudgets,
        switch: StepBack,
        clock: Clock,
        *,
        ask: Ask,
        judges: Mapping[str, PairJudge],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        router: Routed,
    ) -> None:
        self.auditors = {route: Auditor(each, clock) for route, each in options.items() if each.share != 0}
        self._adaptive = {route for route, each in options.items() if each.share is None}
        self.budgets, self.judges = budgets, dict(judges)
        self._switch, self._clock = switch, clock
        self._ask, self._spawn, self._router = ask, spawn, router
        self.idle = not self.auditors
        """Whether no route is audited."""
        self.audited = 0
        self.probed = 0

    def consider(self, exchange: Exchange, row: Row) -> None:
        """Takes a finished request; never waits and never fails it."""
        auditor = self.auditors.get(exchange.route)
        if auditor is None:
            return
        budget = self.budgets.routes[exchange.route]
        auditor.earn(row.actual or 0)
        if not fit(exchange, row):
            return
        budget.seen(exchange, float(row.baseline or 0), routed=auto(exchange))
        changed = changed_by(exchange, self._switch.techniques)
        tiers = budget.openings.get(TIERS) if auto(exchange) else None
        where = cell(exchange)
        suspended = tiers is not None and tiers.state == "suspended"
        option = self._router.escalated(exchange) if tiers is not None else ""
        if option:
            self._unserved(auditor, budget, exchange, row, option)
            return
        watching, interest = bool(changed), 1.0
        if not changed and tiers is not None:
            interest = tiers.interest(where)
            if tiers.would(where) is not None:
                watching = suspended or self._draw(min(1.0, 2 * tiers.control / tiers.compared))
        if not auditor.wants(
            dear=bool(changed), watching=watching, suspicious=suspended, held=budget.in_force, interest=interest
        ):
            return
        if exchange.arms:
            self._spawn(self._grade(auditor, exchange))
            return
        judge = self.judges[exchange.route]
        if "templates" in changed and not judge.reads:
            return  # a greeting in other words is no loss, but no comparison of words can tell
        if changed:
            if changed == ("semantic",) and exchange.route in self._adaptive and not self._draw(_SEMANTIC):
                return
            self._spawn(self._audit(auditor, exchange, row, changed))
        elif TIERS in budget.openings or any(name in budget.openings for name in _previews(exchange)):
            if exchange.route not in self._adaptive or self._draw(_CHANGED):
                self._book(exchange, (), 0.0)
            self._spawn(self._probe(auditor, budget, exchange, float(row.baseline or 0)))
        else:
            probe = self._router.probe(exchange) if auto(exchange) else None
            if probe is not None:
                self._spawn(self._look(auditor, exchange, probe))
            if probe is None or not probe.would:
                self._book(exchange, (), 0.0, routed=auto(exchange))

    # -- one request ---------------------------------------------------------------------------------------------

    async def _audit(self, auditor: Auditor, exchange: Exchange, row: Row, changed: tuple[str, ...]) -> None:
        """What would the baseline have said?"""
        asked = exchange.asked
        target = exchange.baseline
        if asked is not None and asked.kind == "tier" and asked.target is not None:
            target = asked.target
        got = await self._reference(auditor, exchange, target)
        if got is None:
            return
        reference, verdict = got
        self.audited += 1
        budget = self.budgets.routes[exchange.route]
        where, served = cell(exchange), self._router.served(exchange)
        for name in changed:
            option = served if name == TIERS else "on"
            budget.paired(name, where, option, verdict.net, float(row.actual or 0), verdict.cost)
            if budget.watch(name, verdict.net) is not None:
                self.budgets.tell(exchange.route, name)
        if changed == (TIERS,):
            self._router.paired(exchange.route, exchange.intent, row.scores.get(TIERS, 0.0), max(0.0, verdict.net))
        self._book(exchange, changed, verdict.net, routed=TIERS in changed)
        opening = budget.openings.get(TIERS)
        if opening is not None and auto(exchange) and served in opening.options:
            cheaper = [tier_of(option) for option in opening.options[: opening.options.index(served)]]
            for tier in dict.fromkeys(map(tier_of, opening.wanted(where, self._draw))):
                if tier in cheaper and tier != tier_of(served):
                    await self._try(auditor, budget, exchange, tier, reference, float(row.baseline or 0))
        self._look_at(exchange.route)

    def _unserved(self, auditor: Auditor, budget: RouteBudget, exchange: Exchange, row: Row, option: str) -> None:
        """A request whose checked answer was not served: the baseline answered, so nothing was lost. Drawn as often as
        those whose answer was served, it stands for its share among the pairs of the option, and needs no call."""
        if auditor.wants(dear=True, held=budget.in_force):
            budget.paired(TIERS, cell(exchange), option, 0.0, float(row.actual or 0))
            self._look_at(exchange.route)

    async def _probe(self, auditor: Auditor, budget: RouteBudget, exchange: Exchange, worth: float) -> None:
        """What would closed techniques have answered?"""
        reference = heard(exchange)
        opening = budget.openings.get(TIERS)
        if opening is not None and auto(exchange):
            for tier in dict.fromkeys(map(tier_of, opening.wanted(cell(exchange), self._draw))):
                await self._try(auditor, budget, exchange, tier, reference, worth)
        for name, preview in _previews(exchange).items():
            closed = budget.openings.get(name)
            if closed is None or "on" not in closed.wanted(cell(exchange), self._draw):
                continue
            if isinstance(preview, str):
                verdict = await self._compared(auditor, exchange, Said(preview), reference)
            elif self._draw(_DEAR.get(name, _RARELY)):
                request = msgspec.structs.replace(preview, stream=False)
                rival = await self._rival(auditor, exchange, request, exchange.baseline, reference, name)
                verdict = rival.verdict if rival is not None else None
            else:
                continue
            if verdict is not None:
                self._learn(budget, exchange, name, "on", verdict.net)
        self._look_at(exchange.route)

    async def _try(
        self, auditor: Auditor, budget: RouteBudget, exchange: Exchange, tier: str, reference: Said, worth: float
    ) -> None:
        """What would a cheaper tier have said, beside what everything-off says? One answer tells of the tier, and of
        the tier with its answers checked: not carried by the evidence, the baseline would have answered. `worth`:
        nano-dollars with everything off."""
        target = self._router.tier(tier, exchange)
        if target is None:
            return
        asked = plain(exchange)
        rival = await self._rival(auditor, exchange, asked, target, reference, TIERS)
        if rival is None:
            return
        self.probed += 1
        net, cost, judging = rival.verdict.net, float(rival.cost), rival.verdict.cost
        self._learn(budget, exchange, TIERS, tier, net, cost, judging)
        if checked(tier) in budget.openings[TIERS].options:
            if not grounded(rival.answer, asked, exchange.original.question):
                net, cost = 0.0, rival.cost + worth
            self._learn(budget, exchange, TIERS, checked(tier), net, cost, judging)

    def _learn(
        self, budget: RouteBudget, exchange: Exchange, name: str, option: str, net: float, cost: float = 0.0,
        judging: float = 0.0,
    ) -> None:  # fmt: skip
        """Takes a probe. In a cell and with the option in which a technique acts on other requests, or did until it was
        suspended, it is evidence about it."""
        budget.paired(name, cell(exchange), option, net, cost, judging)
        acts = budget.openings[name].would(cell(exchange)) == option
        if acts and budget.watch(name, net) is not None:
            self.budgets.tell(exchange.route, name)

    def _look_at(self, route: str) -> None:
        for changed in self.budgets.routes[route].look(self.judges[route].hidden):
            self.budgets.tell(route, changed.technique)

    async def _grade(self, auditor: Auditor, exchange: Exchange) -> None:
        """An experiment's answer beside the baseline's: its quality, for the experiment alone. Every arm is asked
        alike, so that the judge's noise falls on all of them."""
        if await self._reference(auditor, exchange, exchange.baseline) is not None:
            self.audited += 1

    async def _look(self, auditor: Auditor, exchange: Exchange, probe: Probe) -> None:
        """What would the weak model have said? For certificates of a trained router."""
        rival = await self._rival(auditor, exchange, plain(exchange), probe.target, heard(exchange), TIERS)
        if rival is None:
            return
        self.probed += 1
        loss = max(0.0, rival.verdict.net)
        self._router.paired(exchange.route, exchange.intent, probe.score, loss)
        if probe.would:
            self._book(exchange, (), 0.0, routed=True, loss_routed=loss)

    # -- asking and judging --------------------------------------------------------------------------------------

    async def _reference(self, auditor: Auditor, exchange: Exchange, target: Target) -> tuple[Said, PairVerdict] | None:
        """The baseline's answer, and the verdict on ours beside it."""
        verdicts: list[PairVerdict] = []
        judge = self.judges[exchange.route]

        async def judged(other: Said) -> PairVerdict:
            verdicts.append(await judge.judge(exchange, heard(exchange), other))
            return verdicts[0]

        async def asking() -> tuple[Said, int]:
            reference, cost = await self._ask(exchange, plain(exchange), target, judged)
            return reference, cost + verdicts[0].cost

        reference = await auditor.run(asking(), dear=True)
        return (reference, verdicts[0]) if reference is not None else None

    async def _rival(
        self,
        auditor: Auditor,
        exchange: Exchange,
        request: Request,
        target: Target,
        reference: Said,
        name: str,
    ) -> _Rival | None:
        """What `target` answers, judged beside the reference."""
        judge = self.judges[exchange.route]
        verdicts: list[PairVerdict] = []

        async def judged(other: Said) -> PairVerdict:
            verdicts.append(await judge.judge(exchange, other, reference))
            return verdicts[0]

        async def asking() -> tuple[_Rival, int]:
            other, cost = await self._ask(exchange, request, target, judged, probe=name)
            return _Rival(other, cost, verdicts[0]), cost + verdicts[0].cost

        return await auditor.run(asking())

    async def _compared(self, auditor: Auditor, exchange: Exchange, other: Said, reference: Said) -> PairVerdict | None:
        async def judging() -> tuple[PairVerdict, int]:
            verdict = await self.judges[exchange.route].judge(exchange, other, reference)
            return verdict, verdict.cost

        return await auditor.run(judging())

    def _book(
        self, exchange: Exchange, changed: tuple[str, ...], net: float, *, routed: bool = False,
        loss_routed: float = 0.0,
    ) -> None:  # fmt: skip
        route, intent = exchange.route, exchange.intent
        mine = max(0.0, net) / len(changed) if TIERS in changed else loss_routed
        if routed and self._router.observe(route, intent, mine):
            _log.warning("the router's promise is refuted: strong serves", route=route, intent=intent)
        gone = self._switch.observe(route, changed, net, self.budgets.routes[route].limit)
        if gone is not None:
            self.budgets.epochs[route] += 1
            _log.warning("quality loss above the route's limit: a technique steps back", route=route, technique=gone)

    def _draw(self, chance: float) -> bool:
        return self._clock.random.random() < chance


def heard(exchange: Exchange) -> Said:
    """What the client was answered."""
    return Said(exchange.output, exchange.answer.calls)


def _previews(exchange: Exchange) -> Mapping[str, Request | str]:
    return exchange.stage_notes.get(PREVIEWS) or {}


def changed_by(exchange: Exchange, techniques: Sequence[str]) -> tuple[str, ...]:
    """Those of the techniques that could have changed this answer."""
    acted = {step.technique for step in exchange.steps}
    if not auto(exchange):
        acted.discard("tiers")  # the client named the tier
    return tuple(name for name in techniques if name in acted)


def fit(exchange: Exchange, row: Row) -> bool:
    """Whether this request can be judged: a client's whole answer, in words or tool calls, outside the holdout, not
    repeated from a store whose answers were drawn when they were made."""
    if exchange.background or exchange.holdout or row.outcome != "delivered":
        return False
    if not (exchange.output or exchange.answer.calls) or "no-store" in exchange.context.cache_control:
        return False
    return not any(step.free and step.technique not in ("semantic", "templates") for step in exchange.steps)


def auto(exchange: Exchange) -> bool:
    """Whether routing chose, or would have chosen, the tier."""
    asked = exchange.asked
    return asked is not None and asked.kind == "auto"
