"""Answers ahead: a remembered request goes the way a client's would, up to the call, and its answer lands under the key
the later request has. Who calls, a job or the gateway itself, makes no difference to either end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from hapenny.admission.gate import Gate
from hapenny.caching.keys import Keys, key_of
from hapenny.core.answer import Answer, Replay
from hapenny.core.errors import Failure
from hapenny.core.events import Completion, Tokens, events_of
from hapenny.core.exchange import Exchange, Target
from hapenny.core.messages import Request
from hapenny.core.metering import deliver
from hapenny.core.stage import Ask, Decision, Mode, Onward, Pipeline, Stage
from hapenny.core.stage_spec import Phase
from hapenny.gateway.exchanges import Exchanges
from hapenny.gateway.shared_state import Shared
from hapenny.prefetch.contract import PrefetchItem, SeenRequest
from hapenny.telemetry.history import history
from hapenny.telemetry.pricing import Prices

BACKGROUND = "precompute"
_KEYING = (Phase.KEY,)
"""Phases that decide under which key an answer is kept."""
_SHAPING = (Phase.KEY, Phase.SHAPE)
"""Phases that decide what a model is asked besides."""
_LONGER = 4
"""Times the longest answer so far: room for the next one. A longer one is cut, and never stored."""
_LEAST_ROOM = 256
_SAFETY = 1.25
"""On the upper bound of a prompt's tokens, or the most it has taken: what is held before it is seen."""


class _Reached(Exception):
    """A request has come to where it would be sent."""


class Prefetcher:
    """Prepares, sends and stores answers ahead (`prefetch.contract.Answering`); jobs hand their answers in here.

    Args:
        shared: with the deployment's configuration, clock and ledger.
        exchanges: opens and closes the exchange of each.
        call: one paid attempt.
        services: what stages call models with.
        pipelines: by route; their stages are run in part.
        prices: bounds what an answer may cost.
    """

    def __init__(
        self,
        shared: Shared,
        exchanges: Exchanges,
        call: Onward,
        services: Ask,
        pipelines: Mapping[str, Pipeline],
        prices: Prices,
        gate: Gate | None = None,
    ) -> None:
        self._routes = shared.config.routes
        self._clock = shared.clock
        self._ledger = shared.recorder.ledger
        self._stepped_back = shared.step_back.off
        self._keys = {name: Keys(shared.secret, route.cache_scope) for name, route in self._routes.items()}
        self._exchanges = exchanges
        self._call = call
        self._services = services
        self._pipelines = pipelines
        self._prices = prices
        self._gate = gate
        self._registry = shared.registry

    def question(self, exchange: Exchange) -> str:
        """What an exchange asks, by whom and where, whatever decides its answer today; hex."""
        return self._keys[exchange.route].question(exchange).hex()

    async def past(self, since: float, day: float) -> tuple[dict[int, int], int]:
        """Of the ledger: clients' requests by hour, and what was spent on answers ahead."""
        ledger = self._ledger
        if ledger is None:
            return {}, 0
        path = ledger.path
        await ledger.flush()
        past = await self._clock.work("history", 1.0, lambda: history(path, since, BACKGROUND, day))
        return past.hours, past.spent

    async def key(self, seen: SeenRequest) -> bytes:
        """The key of a request's answer under today's policy."""
        exchange = self._opened(seen)
        if exchange is None or not await self._reach(exchange, _KEYING):
            return b""
        return key_of(exchange) or b""

    async def prepare(self, seen: SeenRequest) -> tuple[PrefetchItem | None, int]:
        """The request as a model would get it, and what that cost."""
        exchange = self._opened(seen)
        if exchange is None:
            return None, 0
        reached = await self._reach(exchange, _SHAPING)
        cost = _cost(exchange)
        if exchange.calls:  # paid vectors of a search, say: they are in the books
            self._exchanges.close(exchange)
        key = key_of(exchange)
        if not reached or key is None:
            return None, cost
        item = PrefetchItem(
            question=seen.question, key=key, route=seen.route, request=seen.request,
            context=seen.context, shaped=self._bounded(exchange, seen.output), target=exchange.target,
            evidence=exchange.answer.evidence, tags=exchange.answer.tags,
            prompt=seen.prompt,
        )  # fmt: skip
        return item, cost

    def bound(self, item: PrefetchItem, tier: str) -> int | None:
        """The most that an answer costs at a service tier."""
        prices, wall = self._prices, self._clock.wall()
        target = _at(item.target, tier)
        place = prices.place(target)
        if self._registry.pause.paused:  # nothing is ordered, and nothing asked one by one
            return None
        if tier != "standard":
            cheap, usual = place.rates(tier, wall), place.rates("standard", wall)
            if item.target.service_tier != "standard" or cheap is None or usual is None:
                return None
            if not 0 < (cheap.input or 0) < (usual.input or 0):
                return None
        prompt = place.upper(prices.layout(item.shaped), "").input
        prices.release(item.shaped)
        most = round(_SAFETY * max(prompt, item.prompt)) + 16
        return prices.price(target, Tokens(input=most, output=item.shaped.parameters.max_tokens or 0), wall)

    async def send(self, item: PrefetchItem, tier: str) -> tuple[bool, int]:
        """Has it answered and stored; whether it was, and what it cost."""
        exchange = self._opened(item)
        if exchange is None:
            return False, 0
        stages = [*self._some(item.route, _KEYING), _Prepared(item, _at(item.target, tier))]
        stages += self._some(item.route, (Phase.SEND,))
        try:
            await self._kept(exchange, stages, self._call)
        finally:
            self._exchanges.close(exchange)
        return _stored(exchange), _cost(exchange)

    async def land(self, item: PrefetchItem, completion: Completion, id: str, reserved: str = "") -> tuple[bool, int]:
        """Takes an answer in that a job brought: its call comes into the books, in the row `id`, once; and it is stored
        if it is still the answer: under the key that the request has today, of the documents there are today.

        `reserved`: what the job set aside for it in budgets. Returns whether it was stored, and what it cost now
        (nano-dollars).
        """
        exchange = self._opened(item, id)
        if exchange is None:
            exchange = self._opened(item, id, route=next(iter(self._routes)))
        if exchange is None:
            return False, 0
        target = _at(item.target, "batch")
        fresh, looking = self._ledger is None or await self._ledger.get(id) is None, 0
        if fresh:
            call = exchange.begin_call(target, "precompute", BACKGROUND, item.shaped)
            if self._gate is not None and reserved:
                self._gate.attach_job(reserved, exchange, call)
            call.tokens, call.output = completion.tokens, [completion.text]
            if completion.tokens is not None:
                call.provenance = "reported"
            exchange.adopted = call
            exchange.end_call(call, "complete")
        try:
            current, looking = await self._current(item)
            if current:

                async def replay(exchange: Exchange) -> Answer:
                    return Answer(Replay(events_of(completion)))

                stages = [*self._some(item.route, _KEYING), _Prepared(item, target)]
                await self._kept(exchange, stages, replay)
        finally:
            if fresh:
                self._exchanges.close(exchange)
        return _stored(exchange), _cost(exchange) + looking

    async def _current(self, item: PrefetchItem) -> tuple[bool, int]:
        """Whether a search finds the same documents in the same versions as when the job began; what it cost."""
        if item.route not in self._routes:
            return False, 0
        if not item.evidence:
            return True, 0
        seen = SeenRequest(item.question, item.request, item.context, item.route)
        again, cost = await self.prepare(seen)
        return again is not None and again.evidence == item.evidence, cost

    def _opened(self, seen: SeenRequest | PrefetchItem, id: str = "", route: str = "") -> Exchange | None:
        route = route or seen.route
        if route not in self._routes:
            return None
        context = msgspec.structs.replace(seen.context)
        try:
            exchange = self._exchanges.open(seen.request, context, id=id, background=BACKGROUND, route=route)
        except Failure:
            return None
        exchange.purpose, exchange.payer = "precompute", BACKGROUND
        return exchange

    async def _reach(self, exchange: Exchange, phases: Sequence[Phase]) -> bool:
        """Runs the stages of those phases; whether the request would have been sent."""

        async def stop(exchange: Exchange) -> Answer:
            raise _Reached

        try:
            answer = await self._pipeline(exchange.route, self._some(exchange.route, phases), stop)(exchange)
        except _Reached:
            return True
        except Failure:
            return False
        answer.close()
        return False

    async def _kept(self, exchange: Exchange, stages: Sequence[Stage], terminal: Onward) -> None:
        try:
            answer = await self._pipeline(exchange.route, stages, terminal)(exchange)
            await deliver(answer, exchange).collect()
        except Failure as failure:
            exchange.failure = failure

    def _pipeline(self, route: str, stages: Sequence[Stage], terminal: Onward) -> Pipeline:
        modes: Mapping[str, Mode] = {**self._pipelines[route].modes, _Prepared.name: "on"}
        return Pipeline(stages, modes, terminal, self._services, partial(self._stepped_back, route))

    def _some(self, route: str, phases: Sequence[Phase]) -> list[Stage]:
        """The stages of those phases that take part in answering ahead."""
        stages = self._pipelines[route].stages
        return [stage for stage in stages if (spec := stage.spec) is not None and spec.ahead and spec.phase in phases]

    def _bounded(self, exchange: Exchange, longest: int) -> Request:
        """The request with a bound on its answer's length, so that what it can cost is known ahead."""
        request, parameters = exchange.request, exchange.request.parameters
        room = max(_LEAST_ROOM, _LONGER * longest)
        if parameters.thinking is not None:
            room += parameters.thinking.budget or 0
        most = room if parameters.max_tokens is None else min(room, parameters.max_tokens)
        parameters = msgspec.structs.replace(parameters, max_tokens=most)
        return msgspec.structs.replace(request, parameters=parameters, stream=False)


class _Prepared(Stage):
    """Puts a prepared request in the place of the client's, behind the cache, which keeps the answer for that."""

    name = "foreseen"

    def __init__(self, item: PrefetchItem, target: Target) -> None:
        self._item = item
        self._target = target

    async def decide(self, exchange: Exchange, ask: Ask) -> Decision | None:
        """Always."""
        return Decision()

    async def apply(self, decision: Decision, exchange: Exchange, onward: Onward) -> Answer:
        """Goes on with the prepared request; not where the answer belongs under another key by now."""
        item = self._item
        if key_of(exchange) != item.key:
            raise Failure("conflict", "the policy or epoch of this answer has changed", retryable=False)
        exchange.request, exchange.target = item.shaped, self._target
        exchange.answer.evidence, exchange.answer.tags = item.evidence, item.tags
        return await onward(exchange)


def _at(target: Target, tier: str) -> Target:
    """The target at a tier; `standard` is the one that it is configured with."""
    return target if tier == "standard" else msgspec.structs.replace(target, service_tier=tier)


def _cost(exchange: Exchange) -> int:
    return sum(call.cost or 0 for call in exchange.calls)


def _stored(exchange: Exchange) -> bool:
    return exchange.cache is not None and exchange.cache.stored
