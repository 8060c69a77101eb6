"""The prefix stage: cache points where they pay, a staggered fan-out, the prefix proof, and what breaks prefixes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from hapenny.caching.options import PREFIX_STAGE, PrefixOptions
from hapenny.caching.prefix.arrange import Arranger
from hapenny.caching.prefix.lint import Finding, lint
from hapenny.caching.prefix.marks import PARTS, Place, Segment, mark, marked, proof, segments
from hapenny.caching.prefix.placement import MOST_POINTS, Planner, PrefixPlan
from hapenny.caching.prefix.reuse import Tariff
from hapenny.core.answer import Answer, Outcome, Recorder, Transform
from hapenny.core.events import Event
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Request, Text, Ttl
from hapenny.core.notes import Note
from hapenny.core.stage import Ask, Decision, Onward, Stage

MAX_LEARNERS = 512
"""Planners, and arrangers, that are kept."""
SHORT, LONG = 300.0, 3_600.0
"""Seconds that a cache point lives after its last use."""
_AT_ONCE = 200
"""Messages that are cut where they stand; longer conversations go to a thread, so that others need not wait."""
_Key = TypeVar("_Key")
_Learner = TypeVar("_Learner")


class ModelCache(Struct, frozen=True):
    """How a model's provider caches prompts. `automatic`: it does so by itself and takes no marks."""

    minimum: int
    """Shortest prefix that is cached, tokens."""
    tariffs: tuple[Tariff, ...]
    """The lifetimes on offer, shortest first."""
    automatic: bool = False
    points: int = MOST_POINTS
    places: tuple[str, ...] = PARTS
    """Parts of the request that take points."""
    behind_text: bool = False
    """Whether a point in a message must follow a text."""


class PrefixDecision(Decision):
    """Where points go, by place, and the lifetime of each; `gain` in input tokens."""

    places: tuple[Place, ...]
    ttls: tuple[Ttl, ...]
    gain: float
    reads: int
    writes: int
    proof: str
    findings: tuple[Finding, ...] = ()


class _Planned(Struct):
    """What was planned for an exchange, kept on it until its answer has shown whether it came true."""

    planner: Planner
    chain: list[Segment]
    plan: PrefixPlan
    request: Request
    """As arranged, unmarked."""

    def unwritten(self) -> None:
        """The call brought no answer: nothing was written."""
        self.planner.forget([segment.hash for segment in self.chain[self.plan.reads :]])

    def unread(self) -> None:
        """The provider read nothing where a live point was believed."""
        self.planner.forget([segment.hash for segment in self.chain[: self.plan.reads]])


class _Proof(Transform):
    """Looks at the usage of an answer that should have read its prefix."""

    watches = True

    def __init__(self, planned: _Planned, recorder: Recorder) -> None:
        self._planned = planned
        self._recorder = recorder

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Believes the provider."""
        if outcome == "complete" and self._recorder.cached == 0:
            self._planned.unread()
        return ()


_PLANNED: Note[_Planned] = Note("prefix.planned")
_ARRANGED: Note[Request] = Note("prefix.arranged")


class PrefixStage(Stage, spec=PREFIX_STAGE):
    """One planner for each tenant, model and region: providers keep their caches apart by account and region."""

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
        self._models: OrderedDict[str, ModelCache | None] = OrderedDict()
        self._arrangers: OrderedDict[tuple[str, str], Arranger] = OrderedDict()
        self._planners: OrderedDict[tuple[str, str, str], Planner] = OrderedDict()
        self._writing: dict[bytes, asyncio.Future[None]] = {}

    async def decide(self, exchange: Exchange, ask: Ask) -> PrefixDecision | None:
        """Plans; None where the provider does not cache, or not a prompt as short as this one."""
        request, target = exchange.request, exchange.target
        known = self._models
        how = known[target.model] if target.model in known else self._how(target.model)
        if how is None or _short(request, how.minimum):
            return None
        findings = tuple(lint(request))
        callers = marked(request) > 0
        if not callers and self._options.arrange != "off":
            request = self._arranger(exchange).arrange(request)

        def cut() -> list[Segment]:
            return segments(
                request, target.model, lambda text: self._count(target.model, text),
                places=how.places, behind_text=how.behind_text,
            )  # fmt: skip

        long = len(request.messages) > _AT_ONCE
        chain = await exchange.clock.work("prefix", len(request.messages), cut) if long else cut()
        if not chain:
            return None
        if callers or how.automatic:
            if request is not exchange.request:
                exchange.stage_notes[_ARRANGED] = request
            return PrefixDecision(
                places=(), ttls=(), gain=0.0, reads=0, writes=0, proof=proof(chain, len(chain)), findings=findings,
                reason="automatic" if how.automatic else "the caller's own points",
            )  # fmt: skip
        planner = self._planner(exchange, how)
        plan = planner.plan([s.hash for s in chain], [s.tokens for s in chain], exchange.clock.now())
        exchange.stage_notes[_PLANNED] = _Planned(planner, chain, plan, request)
        return PrefixDecision(
            places=tuple(chain[depth - 1].place for depth in plan.points),
            ttls=tuple("1h" if ttl > SHORT else "5m" for ttl in plan.ttls),
            gain=plan.gain,
            reads=plan.reads,
            writes=plan.writes,
            proof=proof(chain, max(plan.points, default=0)),
            findings=findings,
            reason="" if plan.points else "no reuse expected",
        )

    async def apply(self, decision: PrefixDecision, exchange: Exchange, onward: Onward) -> Answer:
        """Marks the request; the first of equal prefixes goes ahead, the others follow when it has begun."""
        if not decision.places:
            exchange.request = exchange.stage_notes.get(_ARRANGED) or exchange.request
            return await onward(exchange)
        planned = exchange.stage_notes[_PLANNED]
        exchange.request = mark(planned.request, decision.places, decision.ttls)
        try:
            answer = await self._staggered(decision, planned, exchange, onward)
        except BaseException:
            planned.unwritten()
            raise
        return answer.through(_Proof(planned, answer.recorded())) if planned.plan.reads else answer

    async def _staggered(
        self, decision: PrefixDecision, planned: _Planned, exchange: Exchange, onward: Onward
    ) -> Answer:
        if not decision.writes or self._options.stagger_s <= 0:
            return await onward(exchange)
        deepest = planned.chain[max(planned.plan.points) - 1].hash
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

    def _how(self, model: str) -> ModelCache | None:
        return _kept(self._models, model, lambda: self._model(model))

    def _arranger(self, exchange: Exchange) -> Arranger:
        key = (exchange.context.tenant, exchange.route)
        return _kept(self._arrangers, key, lambda: Arranger(self._options.arrange))

    def _planner(self, exchange: Exchange, how: ModelCache) -> Planner:
        def planner() -> Planner:
            tariffs = how.tariffs
            if self._options.ttl != "auto":
                tariffs = (tariffs[0] if self._options.ttl == "5m" else tariffs[-1],)
            return Planner(*tariffs, minimum=how.minimum, most=how.points)

        return _kept(self._planners, (exchange.context.tenant, exchange.target.model, exchange.target.region), planner)


def _kept(known: OrderedDict[_Key, _Learner], key: _Key, make: Callable[[], _Learner]) -> _Learner:
    """The learner of a key, made on first use; the least recently used leave first."""
    if key not in known:
        known[key] = make()
        while len(known) > MAX_LEARNERS:
            known.popitem(last=False)
    known.move_to_end(key)
    return known[key]


def _short(request: Request, tokens: int) -> bool:
    """Whether a prompt is plain text of fewer characters than `tokens`: no provider caches it, whatever its language.
    A conversation is followed long before its tokens reach the minimum, so that nothing is missed when they do."""
    if request.tools:
        return False
    for block in request.system:
        if type(block) is not Text:
            return False
        tokens -= len(block.text)
    for message in request.messages:
        for part in message.content:
            if type(part) is not Text:
                return False
            tokens -= len(part.text)
    return tokens > 0


async def _wait(under_way: asyncio.Future[None], seconds: float) -> None:
    """Waits for a write under way, but not longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.shield(under_way)
    except TimeoutError:
        return
