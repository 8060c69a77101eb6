"""A workload through a whole gateway in virtual time: each message's answer, whether it is right, its money, its times.

The production code runs; only the provider is simulated and time is virtual, so hours pass in seconds and two runs with
equal seeds are equal. `run` does all of it; `play` sends messages to a gateway that is there, in either clock.

    off = run(messages, shop, config=everything("off", "manga-2024"), latents=3)
    on = run(messages, shop, config=everything("balanced", "manga-2024"), latents=3)

gives two results whose records are pairs: same messages, same hidden world. `python -m hapenny.studies.virtual_run`
prints such a pair and how fast it ran.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from hapenny.backends.contract import Backend
from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import STAGES, Config, load
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, TextDelta
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Request, ToolUse
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop
from hapenny.simulation.cards import DECKS
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.studies.paired import Paired, compare
from hapenny.workload import mix as mixes
from hapenny.workload.requests import answered, context, request
from hapenny.workload.shop import Shop
from hapenny.workload.shoppers import Message, Population
from hapenny.workload.truth import Truth

_ROUNDS = 3
"""Tool calls that an application answers before it gives up."""
_CHUNK = 32
"""Tokens in a delta: fewer, larger ones than on the wire, since nobody watches them come."""
_REFUSED = ("guardrail", "refused", "blocked", "permission")

Hook = Callable[[SimulatedProvider], None]
"""Called when a message is about to be sent, to change the provider."""


class Record(Struct, frozen=True, kw_only=True):
    """One message and what came of it. Nano-dollars, seconds."""

    number: int
    question: str
    """The identity of the question: intervals are over distinct ones."""
    intent: str
    language: str
    how: str
    right: bool
    failure: str = ""
    """Kind of the failure the customer saw, "" for none; a failed message is not right."""
    first_s: float | None = None
    whole_s: float | None = None
    actual: int | None = 0
    """What the serving calls of the message cost; None: a price was unknown."""
    saved: int | None = 0
    """By the gateway's own books, against the baseline model."""
    savings: dict[str, int] = {}
    requests: int = 0
    """One, and one more for each tool result."""
    calls: int = 0
    models: tuple[str, ...] = ()
    """Who answered each request; "" where nobody was called."""
    holdout: bool = False


class Result(Struct, frozen=True, kw_only=True):
    """A whole run."""

    records: list[Record]
    bill: int
    """The provider's bill, nano-dollars: audits, judges and all other background work included."""
    calls: int
    card: str
    """Digest of the card."""
    latents: int
    virtual_s: float
    cpu_s: float
    """Seconds of processor time this took."""

    @property
    def right(self) -> float:
        """Share of right answers."""
        return sum(record.right for record in self.records) / len(self.records) if self.records else 0.0

    @property
    def requests_a_second(self) -> float:
        """How many requests (a message with a tool is two) went through in a second of processor time."""
        return sum(record.requests for record in self.records) / self.cpu_s if self.cpu_s else 0.0


def paired(ours: Result, baseline: Result) -> Paired:
    """Quality of a run against another over the same messages. Raises `ValueError` where they are not the same."""
    if [record.question for record in ours.records] != [record.question for record in baseline.records]:
        raise ValueError("the runs are not over the same messages. Fix: run both over one list")
    pairs = zip(ours.records, baseline.records, strict=True)
    return compare((one.question, one.right, other.right) for one, other in pairs)


def everything(preset: str, card: str, **route: Any) -> Config:
    """A configuration before a simulated provider with the card's models as tiers.

    Args:
        preset: of the route; "off": every stage off and no holdout.
        card: name of the card.
        route: further options of the route.
    """
    deck = DECKS[card]
    options: dict[str, Any] = {"baseline": "strong", **route}
    if preset == "off":
        options |= {"stages": {spec.name: "off" for spec in STAGES}, "holdout": 0.0}
    else:
        options |= {"preset": preset}
    tiers = {tier: model.id for tier in ("fast", "balanced", "strong", "max") if (model := deck.of_tier(tier))}
    text = {
        "backends": {"simulated": {"kind": "simulated", "card": card}},
        "tiers": tiers,
        "routes": {"default": options},
        "ledger": None,
    }
    return load(text=json.dumps(text))


def run(
    messages: Sequence[Message],
    shop: Shop,
    *,
    config: Config,
    card: str = "manga-2024",
    seed: int = 7,
    latents: int = 0,
    model: str | None = None,
    hooks: Mapping[int, Hook] | None = None,
    label: bool = True,
) -> Result:
    """Sends `messages` through a gateway of `config` in virtual time.

    Args:
        messages: of a `Population`, by time.
        shop: their shop, whose tools are called.
        config: of the gateway; all its backends become one simulated provider.
        card: of the provider.
        seed: of latencies, faults and the gateway's own chance.
        latents: which draw of the hidden world.
        model: what is asked for; by default `auto`, or the baseline where nothing is on.
        hooks: by message number, what is done to the provider before it is sent.
        label: the application names the intent of each message as its feature.
    """
    asked_for = model or ("auto" if _routed(config) else DECKS[card].baseline)

    async def main(clock: VirtualClock) -> tuple[list[Record], SimulatedProvider, float]:
        provider = SimulatedProvider(
            clock, DECKS[card], seed=seed, latents=latents, truth=Truth(), quotas={"*": Limit()}, chunk=_CHUNK
        )
        backends: dict[str, Backend] = {name: SimulatedBackend(name, provider) for name in config.backends}
        async with Gateway(config, clock=clock, backends=backends) as gateway:
            player = Player(gateway, messages, shop, provider, model=asked_for, hooks=hooks, label=label)
            records = await player.play()
        return records, provider, clock.now()

    began = _cpu()
    with _quiet_collector():
        records, provider, virtual = loop.run(main, seed=seed)
    return Result(
        records=records,
        bill=provider.bill.nano,
        calls=provider.bill.calls,
        card=provider.deck.digest(),
        latents=latents,
        virtual_s=virtual,
        cpu_s=_cpu() - began,
    )


@contextlib.contextmanager
def _quiet_collector() -> Iterator[None]:
    """Lets the collector look at old objects seldom: a run keeps what it makes, and looking cost a
    sixth of its time."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _cpu() -> float:
    spent = os.times()
    return spent.user + spent.system


def _routed(config: Config) -> bool:
    """Whether anything may be on: otherwise an alias would have nobody to choose a tier."""
    return any(mode != "off" for route in config.routes.values() for mode in route.stages.values()) or any(
        len(route.stages) < len(STAGES) for route in config.routes.values()
    )


class Player:
    """An application with its customers: sends each message at its time, a follow-up after the answer it follows.

    Args:
        gateway: whom it asks, started.
        messages: by time.
        shop: runs the tools.
        provider: whose truth is filled as messages are sent; None leaves that to the caller.
        model: what is asked for.
        hooks: see `run`.
        label: see `run`.
    """

    def __init__(
        self,
        gateway: Gateway,
        messages: Sequence[Message],
        shop: Shop,
        provider: SimulatedProvider | None,
        *,
        model: str = "auto",
        hooks: Mapping[int, Hook] | None = None,
        label: bool = True,
    ) -> None:
        self._gateway = gateway
        self._messages = messages
        self._shop = shop
        self._provider = provider
        self._model = model
        self._hooks = hooks or {}
        self._label = label
        self._place = {message.number: index for index, message in enumerate(messages)}
        self._answers: dict[int, asyncio.Future[str]] = {}

    async def play(self) -> list[Record]:
        """Sends everything; records in the order of the messages."""
        clock = self._gateway.clock
        start = clock.now()
        first = self._messages[0].at if self._messages else 0.0
        running = asyncio.get_running_loop()
        tasks: list[asyncio.Task[Record]] = []
        for message in self._messages:
            wait = start + message.at - first - clock.now()
            if wait > 0:
                await clock.sleep(wait)
            hook = self._hooks.get(message.number)
            if hook is not None and self._provider is not None:
                hook(self._provider)
            self._answers[message.number] = running.create_future()
            tasks.append(running.create_task(self._one(message)))
        return list(await asyncio.gather(*tasks))

    async def _one(self, message: Message) -> Record:
        history: list[tuple[str, str]] = []
        for number in message.earlier:
            answer = self._answers.get(number)
            if answer is not None:
                history.append((self._messages[self._place[number]].text, await answer))
        if self._provider is not None:
            self._provider.truth.add(message.text, message.item, message.follows)
        record, text = await self._converse(message, request(message, history, model=self._model))
        self._answers[message.number].set_result(text or "(no answer)")
        return record

    async def _converse(self, message: Message, asked: Request) -> tuple[Record, str]:
        clock = self._gateway.clock
        began = clock.now()
        first: float | None = None
        text, failure = "", ""
        exchanges: list[Exchange] = []
        for _ in range(_ROUNDS):
            exchange: Exchange | None = None
            collector = Collector()
            try:
                exchange = self._gateway.open(asked, context(message, label=self._label))
                exchanges.append(exchange)
                answer = await self._gateway.answer(exchange)
                async for event in answer:
                    if first is None and isinstance(event, TextDelta):
                        first = clock.now() - began
                    collector.feed(event)
                completion = collector.finish()
            except Failure as error:
                failure = error.kind
                break
            finally:
                if exchange is not None:
                    self._gateway.close(exchange)
            text = completion.text
            blocks = completion.choices[0].content if completion.choices else ()
            call = next((block for block in blocks if isinstance(block, ToolUse)), None)
            if call is None:
                break
            result = self._shop.run(call.name, _arguments(call.arguments), message.day)
            asked = answered(asked, call.id, call.name, call.arguments, result)
        whole = clock.now() - began
        declined = failure in _REFUSED and message.item.kind == "refusal"
        return self._record(message, exchanges, text, "" if declined else failure, declined, first, whole), text

    def _record(
        self, message: Message, exchanges: Sequence[Exchange], text: str, failure: str, declined: bool,
        first: float | None, whole: float,
    ) -> Record:  # fmt: skip
        actual: int | None = 0
        saved: int | None = 0
        savings: dict[str, int] = {}
        for exchange in exchanges:
            totals = self._gateway.totals(exchange)
            if totals is None or totals.actual is None or totals.saved is None or actual is None or saved is None:
                actual = saved = None
                continue
            actual += totals.actual
            saved += totals.saved
            for technique, nano in totals.savings.items():
                savings[technique] = savings.get(technique, 0) + nano
        return Record(
            number=message.number,
            question=message.item.id,
            intent=message.intent,
            language=message.language,
            how=message.how,
            right=declined or (not failure and bool(text) and message.item.grade(text)),
            failure=failure,
            first_s=first,
            whole_s=whole if not failure else None,
            actual=actual,
            saved=saved,
            savings=savings,
            requests=len(exchanges),
            calls=sum(len(exchange.calls) for exchange in exchanges),
            models=tuple(exchange.calls[-1].target.model if exchange.calls else "" for exchange in exchanges),
            holdout=any(exchange.holdout for exchange in exchanges),
        )


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text or "{}")
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def main(arguments: Sequence[str] | None = None) -> None:
    """Everything off against everything on, over the same messages and the same hidden world."""
    parser = argparse.ArgumentParser(prog="hapenny.studies.virtual_run", description=main.__doc__)
    parser.add_argument("--mix", help="a mix file; without one the reference application's")
    parser.add_argument("--card", default="manga-2024", choices=sorted(DECKS))
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--days", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--latents", type=int, default=0)
    options = parser.parse_args(arguments)
    population = Population(mixes.load(options.mix), seed=options.seed)
    messages = population.messages(options.messages, options.days)
    results = {
        preset: run(
            messages, population.shop, config=everything(preset, options.card), card=options.card, seed=options.seed,
            latents=options.latents,
        )
        for preset in ("off", options.preset)
    }  # fmt: skip
    for preset, result in results.items():
        failed = sum(bool(record.failure) for record in result.records)
        print(
            f"{preset:10} right {result.right:.4f}, {failed} failed, {result.calls} calls, "
            f"{result.bill / 1e9:.6f} $, {result.requests_a_second:.0f} requests a second"
        )
    off, on = results["off"], results[options.preset]
    quality = paired(on, off)
    print(
        f"saved {1 - on.bill / off.bill:.4f} of the bill at {quality.difference:+.4f} right answers "
        f"[{quality.low:+.4f}, {quality.high:+.4f}], {quality.distinct} distinct questions"
    )


if __name__ == "__main__":
    main()
