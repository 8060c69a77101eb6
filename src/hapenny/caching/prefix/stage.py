"""The prefix stage: cache points where they pay, a staggered fan-out, the prefix proof, and what breaks prefixes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from hapenny.caching.prefix.lint import Finding, lint
from hapenny.caching.prefix.marks import Segment, mark, marked, proof, segments
from hapenny.caching.prefix.placement import MOST_POINTS, Planner
from hapenny.caching.prefix.reuse import Tariff
from hapenny.core.answer import Answer
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Ttl
from hapenny.core.stage import Ask, Decision, Onward, Stage

MAX_PLANNERS = 512


class PrefixOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """What an operator may set about provider prompt caching."""

    ttl: Ttl = "5m"
    """Lifetime to ask for, 5m or 1h; the longer one is only used where it is expected to pay."""
    stagger_s: float = 2.0
    """How long the others of a fan-out wait for the first one's prefix to be written; 0 does not wait."""


class ModelCache(Struct, frozen=True):
    """How a model's provider caches prompts. `automatic`: it does so by itself and takes no marks."""

    minimum: int
    write: float
    read: float
    automatic: bool = False
    long_write: float = 2.0


class PrefixDecision(Decision):
    """Where points go, by place; `gain` in input tokens."""

    places: tuple[tuple[str, int], ...]
    ttl: Ttl
    gain: float
    reads: int
    writes: int
    proof: str
    findings: tuple[Finding, ...] = ()


class PrefixStage(Stage):
    """One planner for each tenant, model and region: providers keep their caches apart by account and region."""

    name = "prefix"

    def __init__(
        self,
        model: Callable[[str], ModelCache | None],
        count: Callable[[str, str], int],
        options: PrefixOptions | None = None,
    ) -> None:
        """`model`: how a model caches, None if it does not. `count`: (model, text) -> estimated tokens."""
        self._model = model
        self._count = count
        self._options = options if options is not None else PrefixOptions()
        self._planners: OrderedDict[tuple[str, str, str], Planner] = OrderedDict()
        self._writing: dict[bytes, asyncio.Future[None]] = {}

    async def decide(self, exchange: Exchange, ask: Ask) -> PrefixDecision | None:
        """Plans; None where the provider does not cache, or the caller sets points of its own."""
        request, target = exchange.request, exchange.target
        how = self._model(target.model)
        if how is None:
            return None
        findings = tuple(lint(request))
        chain = segments(request, target.model, lambda text: self._count(target.model, text))
        if not chain:
            return None
        if marked(request) or how.automatic:
            return PrefixDecision(
                places=(), ttl="", gain=0.0, reads=0, writes=0, proof=proof(chain, len(chain)), findings=findings,
                reason="automatic" if how.automatic else "the caller's own points",
            )  # fmt: skip
        plan = self._planner(exchange, how).plan(
            [s.hash for s in chain], [s.tokens for s in chain], exchange.clock.now()
        )
        exchange.memo["prefix"] = (chain, plan)
        return PrefixDecision(
            places=tuple(chain[depth - 1].place for depth in plan.points[:MOST_POINTS]),
            ttl=self._options.ttl,
            gain=plan.gain,
            reads=plan.reads,
            writes=plan.writes,
            proof=proof(chain, max(plan.points, default=0)),
            findings=findings,
            reason="" if plan.points else "no reuse expected",
        )

    async def apply(self, decision: PrefixDecision, exchange: Exchange, onward: Onward) -> Answer:
        """Marks the request; the first of equal prefixes goes ahead, the others follow when it has begun."""
        exchange.facts["prefix_proof"] = decision.proof
        if decision.findings:
            exchange.facts["prefix_findings"] = [finding.rule for finding in decision.findings]
        if not decision.places:
            return await onward(exchange)
        exchange.request = mark(exchange.request, decision.places, decision.ttl)
        if not decision.writes or self._options.stagger_s <= 0:
            return await onward(exchange)
        chain: list[Segment] = exchange.memo["prefix"][0]
        deepest = chain[max(exchange.memo["prefix"][1].points) - 1].hash
        under_way = self._writing.get(deepest)
        if under_way is not None:
            wait = min(self._options.stagger_s, max(0.0, exchange.limits.begin_by - exchange.clock.now()) / 4)
            await _wait(under_way, wait)
            return await onward(exchange)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writing[deepest] = written
        try:
            return await onward(exchange)
        finally:
            del self._writing[deepest]
            if not written.done():
                written.set_result(None)

    def _planner(self, exchange: Exchange, how: ModelCache) -> Planner:
        key = (exchange.context.tenant, exchange.target.model, exchange.target.region)
        planner = self._planners.get(key)
        if planner is None:
            long = self._options.ttl == "1h"
            tariff = Tariff(3_600.0 if long else 300.0, how.long_write if long else how.write, how.read)
            planner = self._planners[key] = Planner(tariff, minimum=how.minimum)
            while len(self._planners) > MAX_PLANNERS:
                self._planners.popitem(last=False)
        self._planners.move_to_end(key)
        return planner


async def _wait(under_way: asyncio.Future[None], seconds: float) -> None:
    """Waits for a write under way, but not longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.shield(under_way)
    except TimeoutError:
        return
