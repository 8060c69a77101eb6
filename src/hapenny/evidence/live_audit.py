"""Audits of live traffic: a drawn share of finished requests is also asked of the baseline, off the path, in a
background row of its own, and compared. What comes out moves the loss budget, the router's monitors and the ledger.

Drawn requests whose answer no technique could have changed have loss 0. Where routing sent one of them to the strong
model, or only watches (shadow), the weak model is asked instead, a *probe*: certificates are calibrated on pairs from
all traffic, and a watching router learns what it would have lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Target
from hapenny.core.log import get_logger
from hapenny.core.messages import Request
from hapenny.core.stage import Decision
from hapenny.evidence.audits import AuditOptions, Auditor, Pair, Served
from hapenny.evidence.step_back import StepBack
from hapenny.telemetry.rows import Row

_log = get_logger("hapenny.audits")

Judging: TypeAlias = Callable[[Exchange, str, str], Awaitable[tuple[float, int]]]
"""Loss in [0, 1] of the first answer against the second, and what judging cost, nano-dollars."""
Judged: TypeAlias = Callable[[str], Awaitable[float]]
"""Told the answer that was asked for, says its loss."""


class Ask(Protocol):
    """Asks a model off the path, in a row of its own, in which the loss is noted that `judged` says of its answer;
    returns answer and cost in nano-dollars. `probe`: it is this answer that is judged, not the audited one."""

    async def __call__(
        self, audited: Exchange, request: Request, target: Target, judged: Judged, *, probe: bool
    ) -> tuple[str, int]:
        """Asks; the audited exchange gives route and context."""


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


class Verdict(Decision):
    """What the judge said of the audited answer: quality in [0, 1] beside the baseline's."""

    score: float


class LiveAudit:
    """Audits the traffic of a deployment.

    Args:
        options: share and budget by route; a route without is not audited.
        limits: the promised `max_quality_loss` by route.
        switch: which techniques have stepped back.
        clock: chance and the day.
        ask: asks the baseline or the weak model.
        judge: by route.
        reading: routes whose judge is a model. Elsewhere answers of templates are not audited: a greeting in other
            words is no loss, but no comparison of words can tell.
        spawn: runs work off the path.
        router: told of each drawn `auto` request.
    """

    def __init__(
        self,
        options: Mapping[str, AuditOptions],
        limits: Mapping[str, float],
        switch: StepBack,
        clock: Clock,
        *,
        ask: Ask,
        judge: Mapping[str, Judging],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        router: Routed,
        reading: Collection[str] = (),
    ) -> None:
        self.auditors = {route: Auditor(each, clock) for route, each in options.items() if each.share > 0}
        self._limits = dict(limits)
        self._switch = switch
        self._ask, self._judge, self._spawn, self._router = ask, dict(judge), spawn, router
        self._reading = frozenset(reading)
        self.idle = not self.auditors
        """Whether no route is audited."""
        self.audited = 0
        self.probed = 0

    def consider(self, exchange: Exchange, row: Row) -> None:
        """Takes a finished request; never waits and never fails it."""
        auditor = self.auditors.get(exchange.route)
        if auditor is None or not fit(exchange, row) or not auditor.wants():
            return
        if exchange.arms:
            self._spawn(self._grade(auditor, exchange))
            return
        changed = changed_by(exchange, self._switch.techniques)
        if "templates" in changed and exchange.route not in self._reading:
            return
        if changed:
            self._spawn(self._audit(auditor, exchange, row, changed))
            return
        probe = self._router.probe(exchange) if auto(exchange) else None
        if probe is not None:
            self._spawn(self._look(auditor, exchange, probe))
        if probe is None or not probe.would:
            self._book(exchange, (), 0.0, routed=auto(exchange))

    async def _audit(self, auditor: Auditor, exchange: Exchange, row: Row, changed: tuple[str, ...]) -> None:
        """What would the baseline have said?"""
        asked = exchange.asked
        target = exchange.baseline
        if asked is not None and asked.kind == "tier" and asked.target is not None:
            target = asked.target
        weak = "tiers" in changed
        served = Served(
            id=exchange.id,
            route=exchange.route,
            intent=exchange.intent,
            weak=weak,
            score=row.scores.get("tiers", 0.0),
            answer=exchange.output,
        )
        pair = await self._run(auditor, exchange, served, target, probe=False)
        if pair is None:
            return
        self.audited += 1
        if changed == ("tiers",):
            self._router.paired(pair.route, pair.intent, pair.score, pair.loss)
        self._book(exchange, changed, pair.loss, routed=weak)

    async def _grade(self, auditor: Auditor, exchange: Exchange) -> None:
        """An experiment's answer beside the baseline's: its quality, for the experiment alone. Every arm is asked
        alike, so that the judge's noise falls on all of them."""
        served = Served(
            id=exchange.id,
            route=exchange.route,
            intent=exchange.intent,
            weak=False,
            score=0.0,
            answer=exchange.output,
        )
        if await self._run(auditor, exchange, served, exchange.baseline, probe=False) is not None:
            self.audited += 1

    async def _look(self, auditor: Auditor, exchange: Exchange, probe: Probe) -> None:
        """What would the weak model have said?"""
        served = Served(
            id=exchange.id,
            route=exchange.route,
            intent=exchange.intent,
            weak=False,
            score=probe.score,
            answer=exchange.output,
        )
        pair = await self._run(auditor, exchange, served, probe.target, probe=True)
        if pair is None:
            return
        self.probed += 1
        self._router.paired(pair.route, pair.intent, pair.score, pair.loss)
        if probe.would:
            self._book(exchange, (), 0.0, routed=True, loss_routed=pair.loss)

    async def _run(
        self, auditor: Auditor, exchange: Exchange, served: Served, target: Target, *, probe: bool
    ) -> Pair | None:
        found: list[tuple[float, int]] = []
        judge = self._judge[exchange.route]

        async def judged(other: str) -> float:
            pair = (other, served.answer) if probe else (served.answer, other)
            found.append(await judge(exchange, *pair))
            return found[0][0]

        async def other() -> tuple[str, int]:
            return await self._ask(exchange, plain(exchange), target, judged, probe=probe)

        async def verdict(answer: str, reference: str) -> tuple[float, int]:
            return found[0]

        return await auditor.run(served, other, verdict)

    def _book(
        self, exchange: Exchange, changed: tuple[str, ...], loss: float, *, routed: bool, loss_routed: float = 0.0
    ) -> None:
        route, intent = exchange.route, exchange.intent
        mine = loss / len(changed) if "tiers" in changed else loss_routed
        if routed and self._router.observe(route, intent, mine):
            _log.warning("the router's promise is refuted: strong serves", route=route, intent=intent)
        gone = self._switch.observe(route, changed, loss, self._limits[route])
        if gone is not None:
            _log.warning("quality loss above the route's limit: a technique steps back", route=route, technique=gone)


def changed_by(exchange: Exchange, techniques: Sequence[str]) -> tuple[str, ...]:
    """Those of the techniques that could have changed this answer."""
    acted = {step.technique for step in exchange.steps}
    if not auto(exchange):
        acted.discard("tiers")  # the client named the tier
    return tuple(name for name in techniques if name in acted)


def plain(exchange: Exchange) -> Request:
    """The request as it would have been answered with every lossy technique off: what retrieval added stays."""
    base = exchange.original
    for step in exchange.steps:
        if step.technique == "retrieval":
            base = step.request
    return msgspec.structs.replace(base, stream=False)


def fit(exchange: Exchange, row: Row) -> bool:
    """Whether this request can be judged: a client's whole answer in words, outside the holdout, not repeated from a
    store whose answers were drawn when they were made."""
    if exchange.background or exchange.holdout or row.outcome != "delivered" or not exchange.output:
        return False
    if exchange.original.tools or "no-store" in exchange.context.cache_control:
        return False
    return not any(step.free and step.technique not in ("semantic", "templates") for step in exchange.steps)


def auto(exchange: Exchange) -> bool:
    """Whether routing chose, or would have chosen, the tier."""
    asked = exchange.asked
    return asked is not None and asked.kind == "auto"
