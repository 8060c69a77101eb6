"""The shop's customers before MangaAssist, in virtual time: everything off, or the application as configured.

Off is the naive application: the mix's prompt, all that retrieval found, the strong model, no gateway stage. On is the
reference application's own orchestrator over an embedded gateway. Both meet the same messages and hidden world.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import Config
from hapenny.core.clock import Clock, RealClock
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Tool
from hapenny.gateway.gateway import Gateway
from hapenny.responsive.budget import used
from hapenny.simulation import loop
from hapenny.simulation.card import Lineup
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message
from hapenny.simulation.workload.truth import Truth
from hapenny.studies.player import Player, Record, in_time, judged
from hapenny.studies.virtual_run import quiet_collector
from mangaassist.gateway_config import TECHNIQUES, gateway_config
from mangaassist.orchestrator import Orchestrator, Reply, Settings, Turn
from mangaassist_proof.shop import WorkloadShop

_CHUNK = 32
"""Tokens in a delta."""
_OPEN = {"*": Limit()}
Quotas = Mapping[str, Limit]


class Played(Struct, kw_only=True):
    """What came of a run."""

    records: list[Record]
    bill: int
    """The provider's bill, nano-dollars: audits and judges included."""
    learning_bill: int = 0
    learning: int = 0
    """Requests that were made to learn from."""
    templated: list[bool] = []
    """By record: whether a template answered."""
    scripted: list[bool] = []
    """By record: whether the application recognised the question."""
    degraded: int = 0
    identity_violations: int = 0
    cpu_s: float = 0.0
    steps: dict[str, list[float]] = {}
    """Seconds by step of the latency budget, of each request."""


def off_config(lineup: Lineup) -> Config:
    """Nothing is on, and nobody learns."""
    return gateway_config(lineup.tiers(), _backend(lineup), on=(), holdout=0.0, max_quality_loss=1.0)


def _backend(lineup: Lineup) -> dict[str, Any]:
    return {"kind": "simulated", "card": lineup.name}


def play_off(
    messages: Sequence[Message], shop: Shop, lineup: Lineup, seed: int, *, model: str = "", quotas: Quotas = _OPEN
) -> Played:
    """Everything off."""
    config = off_config(lineup)

    async def main(clock: VirtualClock) -> Played:
        provider, backends = _provider(clock, lineup, seed, config, quotas)
        async with Gateway(config, clock=clock, backends=backends) as gateway:
            player = Player(gateway, messages, shop, provider, model=model or lineup.baseline, label=False)
            records = await player.play()
            await gateway.settled()
            return Played(
                records=records, bill=provider.bill.nano, identity_violations=gateway.books.violations,
            )  # fmt: skip

    return _timed(main, seed)


def play_on(
    messages: Sequence[Message],
    shop: Shop,
    lineup: Lineup,
    seed: int,
    *,
    learn: Sequence[Message] = (),
    on: Sequence[str] = TECHNIQUES,
    off: Sequence[str] = (),
    model: str = "auto",
    holdout: float = 0.01,
    max_quality_loss: float = 0.01,
    trained: bytes | None = None,
    quotas: Quotas = _OPEN,
    audit_budget_share: float | None = None,
    more: Mapping[str, Any] | None = None,
    real: bool = False,
) -> Played:
    """MangaAssist with the techniques of `on`; `learn` is sent before, its money and answers are kept apart. `real`: in
    real time, so that what we ourselves take is measured too."""
    with tempfile.TemporaryDirectory() as folder:
        router = Path(folder, "router.msgpack")
        if trained is not None:
            router.write_bytes(trained)
        config = gateway_config(
            lineup.tiers(), _backend(lineup), on=on, off=off, holdout=holdout,
            max_quality_loss=max_quality_loss, more=more,
            trained=str(router) if trained is not None and "tiering" in on else None,
            audit_budget_share=audit_budget_share,
        )  # fmt: skip
        settings = Settings(scripted="tokens" in on, sized="tokens" in on, model=model)

        async def main(clock: Clock) -> Played:
            provider, backends = _provider(clock, lineup, seed, config, quotas)
            async with Gateway(config, clock=clock, backends=backends) as gateway:
                app = Customers(gateway, shop, provider, settings)
                learning = await app.play(learn) if learn else []
                await gateway.settled()
                bill = provider.bill.nano
                steps: dict[str, list[float]] = defaultdict(list)
                gateway.parts.exchanges.observe(lambda exchange, row: _stepped(exchange, steps))
                records = await app.play(messages)
                await gateway.settled()
                return Played(
                    records=records,
                    bill=provider.bill.nano - bill,
                    learning_bill=bill,
                    learning=sum(record.requests for record in learning),
                    templated=[bool(record.savings.get("templates")) for record in records],
                    scripted=app.scripted(messages),
                    degraded=app.degraded,
                    identity_violations=gateway.books.violations,
                    steps=dict(steps),
                )

        return _timed(main, seed, real=real)


def _stepped(exchange: Exchange, steps: dict[str, list[float]]) -> None:
    if not exchange.background:
        for name, seconds in used(exchange).items():
            steps[name].append(seconds)


def _provider(
    clock: Clock, lineup: Lineup, seed: int, config: Config, quotas: Quotas
) -> tuple[SimulatedProvider, dict[str, Any]]:
    provider = SimulatedProvider(
        clock, lineup, seed=seed, latents=seed, truth=Truth(), quotas=dict(quotas), chunk=_CHUNK
    )
    return provider, {name: SimulatedBackend(name, provider) for name in config.backends}


def _timed(main: Callable[[Any], Any], seed: int, *, real: bool = False) -> Played:
    before = os.times()
    with quiet_collector():
        played: Played = asyncio.run(main(RealClock(seed))) if real else loop.run(main, seed=seed)
    after = os.times()
    played.cpu_s = after.user + after.system - before.user - before.system
    return played


class Customers:
    """The shop's customers, who write to the application."""

    def __init__(self, gateway: Gateway, shop: Shop, provider: SimulatedProvider, settings: Settings) -> None:
        self._gateway, self._shop, self._provider = gateway, shop, provider
        self._titles = WorkloadShop.all_titles(shop)
        self._days: dict[int, WorkloadShop] = {}
        self._app = Orchestrator(gateway, self._day(0), settings)
        self.degraded = 0
        self._scripted: dict[int, bool] = {}

    def _day(self, day: int) -> WorkloadShop:
        if day not in self._days:
            self._days[day] = WorkloadShop(self._shop, self._titles, day)
        return self._days[day]

    async def play(self, messages: Sequence[Message]) -> list[Record]:
        """Sends each message at its time, but not before the answers of its session are there."""
        running = asyncio.get_running_loop()
        answered: dict[int, asyncio.Future[None]] = {}
        tasks: list[asyncio.Task[Record]] = []
        async for message in in_time(self._gateway.clock, messages):
            answered[message.number] = running.create_future()
            before = [answered[number] for number in message.earlier if number in answered]
            tasks.append(running.create_task(self._one(message, before, answered[message.number])))
        return list(await asyncio.gather(*tasks))

    def scripted(self, messages: Sequence[Message]) -> list[bool]:
        """Of messages that were sent: whether the application recognised them."""
        return [self._scripted[message.number] for message in messages]

    async def _one(
        self, message: Message, before: Sequence[asyncio.Future[None]], done: asyncio.Future[None]
    ) -> Record:
        try:
            for each in before:
                await each
            self._provider.truth.add(message.text, message.item, message.follows)
            turn = Turn(
                session=message.session, user=message.user, text=message.text, language=message.language,
                passages=message.documents, system=message.system, tools=_tools(message.tools),
            )  # fmt: skip
            reply: Reply | None = None
            async for piece in self._app.answer(turn, self._day(message.day)):
                if isinstance(piece, Reply):
                    reply = piece
            assert reply is not None
            return self._record(message, reply)
        finally:
            done.set_result(None)

    def _record(self, message: Message, reply: Reply) -> Record:
        failure, right = judged(message, reply.text, reply.failure)
        self.degraded += reply.degraded
        self._scripted[message.number] = bool(reply.intent)
        return Record(
            number=message.number, question=message.item.id, intent=message.intent, language=message.language,
            how=message.how, at=message.at, right=right, failure=failure,
            first_s=reply.first_s, whole_s=reply.whole_s if not failure else None,
            actual=reply.actual, saved=reply.saved, savings=reply.savings, requests=reply.requests, calls=reply.calls,
            models=reply.models, holdout=reply.holdout,
        )  # fmt: skip


def _tools(tokens: int) -> tuple[Tool, ...]:
    return tuple(Tool(*tool) for tool in Shop.tools(tokens)) if tokens else ()


def paced(lineup: Lineup, *, first_s: float, streaming_s: float, tokens: int) -> Lineup:
    """The same models at other speeds: first token and an answer of `tokens` at these 95th percentiles."""
    models = tuple(
        msgspec.structs.replace(
            model, ttft_p50=first_s / 1.53, ttft_p95=first_s, rate_p50=tokens / streaming_s / 0.75,
            rate_p95=tokens / streaming_s,
        )
        for model in lineup.models
    )  # fmt: skip
    return msgspec.structs.replace(lineup, models=models, pace_range=(1.0, 1.0))
