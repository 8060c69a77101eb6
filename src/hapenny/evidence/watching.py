"""Audits of live traffic: a drawn share of finished requests is also asked of the baseline, off the path, in a
background row of its own, and compared. What comes out moves the loss budget, the router's monitors and the ledger.

Drawn requests whose answer no technique could have changed cost nothing: their loss is 0.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np

from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange, Target
from hapenny.core.log import get_logger
from hapenny.core.messages import Request
from hapenny.core.stage import Decision
from hapenny.evidence.audits import AuditOptions, Auditor, Pair, Served
from hapenny.evidence.judges import agree, number, similarity
from hapenny.evidence.switch import LOSSY, Switch
from hapenny.telemetry.rows import Row

_log = get_logger("hapenny.audits")
_DIGITS = re.compile(r"\d+")
ALIKE, APART = 0.85, 0.5
"""Cosines from which answers count as the same, and up to which as different; linear between."""

Embed: TypeAlias = Callable[[list[str]], Awaitable[Any]]
Ask: TypeAlias = Callable[[Exchange, Request, Target, Callable[[str], Awaitable[float]]], Awaitable[tuple[str, int]]]
"""Asks the baseline (the exchange gives route and context) in a row of its own, in which the loss is noted that the
judge says of its answer; returns answer and cost in nano-dollars."""


class Verdict(Decision):
    """What the judge said of the audited answer: quality in [0, 1] beside the baseline's."""

    score: float


async def compare(served: str, reference: str, embed: Embed) -> float:
    """Loss in [0, 1] of an answer against the baseline's: 0 where they say the same (normalised or numerically), 1
    where one is a number and they differ or each names numbers the other has not, else by the cosine of their vectors.
    """
    if agree(served, reference):
        return 0.0
    if number(served) is not None or number(reference) is not None:
        return 1.0
    mine, theirs = set(_DIGITS.findall(served)), set(_DIGITS.findall(reference))
    if mine - theirs and theirs - mine:
        return 1.0
    one, other = np.asarray(await embed([served, reference]))
    return min(1.0, max(0.0, (ALIKE - similarity(one, other)) / (ALIKE - APART)))


class Watch:
    """Audits the traffic of a deployment.

    Args:
        options: share and budget by route; a route without is not audited.
        limits: the promised `max_quality_loss` by route.
        switch: which techniques have stepped back.
        clock: chance and the day.
        ask: asks the baseline.
        embed: unit vectors of texts.
        spawn: runs work off the path.
        routed: told (route, intent, loss) of each drawn `auto` request: the router's monitors.
    """

    def __init__(
        self,
        options: Mapping[str, AuditOptions],
        limits: Mapping[str, float],
        switch: Switch,
        clock: Clock,
        *,
        ask: Ask,
        embed: Embed,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        routed: Callable[[str, str, float], bool],
    ) -> None:
        self._auditors = {route: Auditor(each, clock) for route, each in options.items() if each.share > 0}
        self._limits = dict(limits)
        self._switch = switch
        self._ask, self._embed, self._spawn, self._routed = ask, embed, spawn, routed
        for auditor in self._auditors.values():
            auditor.listen(self._heard)
        self._changed: dict[str, tuple[str, ...]] = {}
        self.audited = 0

    def consider(self, exchange: Exchange, row: Row) -> None:
        """Takes a finished request; never waits and never fails it."""
        auditor = self._auditors.get(exchange.route)
        if auditor is None or not fit(exchange, row) or not auditor.wants():
            return
        changed = changed_by(exchange)
        if not changed:
            self._book(exchange.id, exchange.route, exchange.intent, (), 0.0, routed=_auto(exchange))
            return
        served = Served(
            id=exchange.id,
            route=exchange.route,
            intent=exchange.intent,
            weak="tiers" in changed,
            score=row.scores.get("tiers", 0.0),
            answer=exchange.output,
        )
        self._changed[exchange.id] = changed
        self._spawn(self._audit(auditor, exchange, served))

    async def _audit(self, auditor: Auditor, exchange: Exchange, served: Served) -> None:
        losses: list[float] = []

        async def judged(reference: str) -> float:
            losses.append(await compare(served.answer, reference, self._embed))
            return losses[0]

        asked = exchange.facts.get("asked")
        target = exchange.baseline
        if asked is not None and asked.kind == "tier" and asked.target is not None:
            target = asked.target

        async def baseline() -> tuple[str, int]:
            return await self._ask(exchange, plain(exchange), target, judged)

        async def judge(answer: str, reference: str) -> tuple[float, int]:
            return losses[0], 0

        try:
            await auditor.run(served, baseline, judge)
        finally:
            self._changed.pop(exchange.id, None)

    def _heard(self, pair: Pair) -> None:
        changed = self._changed.get(pair.id, ())
        self.audited += 1
        self._book(pair.id, pair.route, pair.intent, changed, pair.loss, routed="tiers" in changed)

    def _book(
        self, request: str, route: str, intent: str, changed: tuple[str, ...], loss: float, *, routed: bool
    ) -> None:
        if routed and self._routed(route, intent, loss / len(changed) if "tiers" in changed else 0.0):
            _log.warning("the router's promise is refuted: strong serves", route=route, intent=intent)
        gone = self._switch.observe(route, changed, loss, self._limits[route])
        if gone is not None:
            _log.warning("quality loss above the route's limit: a technique steps back", route=route, technique=gone)


def changed_by(exchange: Exchange) -> tuple[str, ...]:
    """Techniques that could have changed this answer."""
    found = {step.technique for step in exchange.steps} & set(LOSSY)
    if not _auto(exchange):
        found.discard("tiers")  # the client named the tier
    return tuple(name for name in LOSSY if name in found)


def plain(exchange: Exchange) -> Request:
    """The request as it would have been answered with every lossy technique off: what retrieval added stays."""
    base = exchange.original
    for step in exchange.steps:
        if step.technique == "retrieval":
            base = step.request
    return msgspec.structs.replace(base, stream=False)


def fit(exchange: Exchange, row: Row) -> bool:
    """Whether this request can be judged: a client's whole answer in words, outside holdout and experiments, not
    repeated from a store whose answers were drawn when they were made."""
    if exchange.background or exchange.holdout or exchange.arms or row.outcome != "delivered" or not exchange.output:
        return False
    if exchange.original.tools or "no-store" in exchange.context.cache_control:
        return False
    return not any(step.free and step.technique != "semantic" for step in exchange.steps)


def _auto(exchange: Exchange) -> bool:
    asked = exchange.facts.get("asked")
    return asked is not None and asked.kind == "auto"
