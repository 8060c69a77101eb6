"""A workload through a whole gateway in virtual time: each message's answer, whether it is right, its money, its times.

The production code runs; only the provider is simulated and time is virtual, so hours pass in seconds and two runs with
equal seeds are equal. `run` does all of it; `player.Player` sends messages to a gateway that is there, in either clock.

    off = run(messages, shop, config=everything("off", "manga-2024"), latents=3)
    on = run(messages, shop, config=everything("balanced", "manga-2024"), latents=3)

gives two results whose records are pairs: same messages, same hidden world. `python -m hapenny.studies.virtual_run`
prints such a pair and how fast it ran.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hapenny.backends.contract import Backend
from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import STAGES, Config, load
from hapenny.core.messages import Request
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.loop import VirtualClock
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.simulation.workload import mix as mixes
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message, Population
from hapenny.simulation.workload.truth import Truth
from hapenny.studies.paired import Paired, compare
from hapenny.studies.player import Hook, Player, Record

_CHUNK = 32
"""Tokens in a delta: fewer, larger ones than on the wire, since nobody watches them come."""


class Result(Struct, frozen=True, kw_only=True):
    """A whole run."""

    records: list[Record]
    bill: int
    """The provider's bill for them, nano-dollars: audits, judges and all other background work included."""
    calls: int
    learning: list[Record] = []
    """What came of the messages that were sent before, for the gateway to learn from."""
    learning_bill: int = 0
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
    def background(self) -> int:
        """What of the bill no customer's message called for: audits, judges, answers ahead; nano-dollars."""
        return self.bill - sum(record.actual or 0 for record in self.records)

    @property
    def requests_a_second(self) -> float:
        """How many requests (a message with a tool is two) went through in a second of processor time."""
        sent = sum(record.requests for record in (*self.learning, *self.records))
        return sent / self.cpu_s if self.cpu_s else 0.0


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
    lineup = LINEUPS[card]
    options: dict[str, Any] = {"baseline": "strong", **route}
    if preset == "off":
        options |= {"stages": {spec.name: "off" for spec in STAGES}, "holdout": 0.0}
    else:
        options |= {"preset": preset}
    tiers = lineup.tiers()
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
    learn: Sequence[Message] = (),
    hooks: Mapping[int, Hook] | None = None,
    label: bool = True,
    ready: Callable[[Gateway], None] | None = None,
    shape: Callable[[Message, Request], Request] | None = None,
    vectors: dict[str, NDArray[np.float32]] | None = None,
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
        learn: messages that are sent before, and whose money and answers are kept apart (`apart` leaves out those whose
            questions come again).
        hooks: by message number, what is done to the provider before it is sent.
        label: the application names the intent of each message as its feature.
        ready: called with the started gateway, before anything is sent.
        shape: how the application writes a message's request, where it is not as usual.
        vectors: of texts embedded before, which are played back; those of new texts are added.
    """
    asked_for = model or ("auto" if _routed(config) else LINEUPS[card].baseline)

    async def main(clock: VirtualClock) -> tuple[list[Record], list[Record], SimulatedProvider, int, int]:
        provider = SimulatedProvider(
            clock, LINEUPS[card], seed=seed, latents=latents, truth=Truth(), quotas={"*": Limit()}, chunk=_CHUNK
        )
        backends: dict[str, Backend] = {name: SimulatedBackend(name, provider) for name in config.backends}
        async with Gateway(config, clock=clock, backends=backends) as gateway:
            if vectors is not None:
                gateway.parts.shared.embedder.record(vectors)
            if ready is not None:
                ready(gateway)

            async def play(sent: Sequence[Message], hooks: Mapping[int, Hook] | None) -> list[Record]:
                player = Player(gateway, sent, shop, provider, model=asked_for, hooks=hooks, label=label, shape=shape)
                records = await player.play()
                await gateway.settled()
                return records

            learning = await play(learn, None) if learn else []
            bill, calls = provider.bill.nano, provider.bill.calls
            records = await play(messages, hooks)
        return learning, records, provider, bill, calls

    began = cpu()
    with quiet_collector():
        learning, records, provider, bill, calls = loop.run(main, seed=seed)
    return Result(
        records=records,
        bill=provider.bill.nano - bill,
        calls=provider.bill.calls - calls,
        learning=learning,
        learning_bill=bill,
        card=provider.lineup.digest(),
        latents=latents,
        virtual_s=provider.clock.now(),
        cpu_s=cpu() - began,
    )


def apart(learn: Sequence[Message], messages: Sequence[Message]) -> list[Message]:
    """`learn` without the sessions in which a question of `messages` is asked."""
    later = {message.item.id for message in messages}
    known = {message.session for message in learn if message.item.id in later}
    return [message for message in learn if message.session not in known]


@contextlib.contextmanager
def quiet_collector() -> Iterator[None]:
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


def cpu() -> float:
    """Seconds of processor time this process has taken."""
    spent = os.times()
    return spent.user + spent.system


def _routed(config: Config) -> bool:
    """Whether anything may be on: otherwise an alias would have nobody to choose a tier."""
    return any(mode != "off" for route in config.routes.values() for mode in route.stages.values()) or any(
        len(route.stages) < len(STAGES) for route in config.routes.values()
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Everything off against everything on, over the same messages and the same hidden world."""
    parser = argparse.ArgumentParser(prog="hapenny.studies.virtual_run", description=main.__doc__)
    parser.add_argument("--mix", help="a mix file; without one the reference application's")
    parser.add_argument("--card", default="manga-2024", choices=sorted(LINEUPS))
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
