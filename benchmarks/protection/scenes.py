"""The scenes of live protection: traffic, a gateway that has learnt it, and what changes midway.

At most a third of the traffic is routed: the application asks for `auto` on some intents and for the strong model on
all others. On those the cheap model was certified beforehand (its pairs are drawn from the hidden world of the same
draw, before the change), so that the scenes are about protection and not about learning. The change comes at half of
the requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from benchmarks.protection.branches import Branches
from hapenny.config import Config
from hapenny.core.messages import Request
from hapenny.gateway.gateway import Gateway
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.changes import Change
from hapenny.simulation.latents import Latents
from hapenny.simulation.provider import SimulatedProvider
from hapenny.simulation.workload.mix import Mix
from hapenny.simulation.workload.shoppers import Message, Population
from hapenny.studies.player import Record
from hapenny.studies.virtual_run import everything, run

CARD = "current-2026"
ROUTED = ("order_status", "shipping", "small_talk", "returns")
"""About a third of the traffic, tools included."""
LOSS = 0.01
MODES = {"semantic": "off", "prune": "off", "window": "off", "templates": "off"}
_A_DAY = 40_000


class Outcome(NamedTuple):
    """One run of a scene. `wrong`: answers that a changed model got wrong from the change until the step back (or the
    end); `audit_share`: audits and judges of the whole bill; `stepbacks`: techniques closed for good."""

    wrong: int
    audit_share: float
    stepbacks: int
    suspensions: int
    stepped_back: bool
    routed_share: float
    after: int
    """Requests from the change until the step back."""


def traffic(mix: Mix, seed: int, requests: int) -> tuple[Population, list[Message]]:
    """Shoppers and what they ask; a message with a tool is two requests."""
    population = Population(mix, seed=seed)
    return population, population.messages(requests, requests / _A_DAY)


def earlier(mix: Mix, seed: int, requests: int) -> list[Message]:
    """Four times as much traffic of other customers, by which the cheap model was certified."""
    return Population(mix, seed=seed + 10_000).messages(4 * requests, 4 * requests / _A_DAY)


def config(card: str = CARD, **route: Any) -> Config:
    """The gateway: tiers alone, within a point of loss."""
    return everything("balanced", card, max_quality_loss=LOSS, holdout=0.0, stages=MODES, **route)


def certify(gateway: Gateway, messages: Sequence[Message], seed: int, routed: Sequence[str] = ROUTED) -> None:
    """Gives the tiers of a fresh gateway the pairs of earlier days on the routed intents, in the world as it is before
    the change; the other intents stay unknown and closed."""
    budget = gateway.parts.budgets.routes["default"]
    opening = budget.openings["tiers"]
    lineup = LINEUPS[CARD]
    latents, cheap, dear = Latents(lineup, seed), lineup.of_tier("fast"), lineup.of_tier("strong")
    assert cheap is not None
    assert dear is not None
    for message in messages:
        item = message.item
        for part in ("+tools", "+result") if item.call is not None else ("",):
            where = f"{message.intent}{part}"
            if message.intent in routed:
                opening.seen(where, 1.0, question=part != "+result")
                right = [
                    latents.right(each, item.kind, item.id, message.text, item.difficulty) for each in (cheap, dear)
                ]
                opening.add(where, "fast", float(right[1]) - float(right[0]), 0.1)
    while budget.look(0.1):
        pass


def asked_for(message: Message) -> str:
    """What the application asks for: routing on some intents, else the strong model."""
    return "auto" if message.intent in ROUTED else LINEUPS[CARD].baseline


def named(message: Message, request: Request) -> Request:
    """A message's request, with what the application asks for in it."""
    return replace(request, model=asked_for(message))


def worse(share: float) -> Callable[[SimulatedProvider], None]:
    """The cheap model gets a share of its questions wrong from now on."""
    model = LINEUPS[CARD].of_tier("fast")
    assert model is not None

    def change(provider: SimulatedProvider) -> None:
        provider.changes.add(Change(model=model.id, wrong=share))

    return change


def reworded(provider: SimulatedProvider) -> None:
    """All models say the same in other words from now on."""
    provider.changes.add(Change(reworded=True))


def play(mix: Mix, seed: int, requests: int, names: Sequence[str]) -> Mapping[str, Outcome]:
    """Scenes by name over the same traffic in virtual time: one run until the change, then one for each."""
    population, messages = traffic(mix, seed, requests)
    learnt = earlier(mix, seed, requests)
    watched = Watched()
    branches: Branches[Outcome] = Branches(list(names))

    def ready(gateway: Gateway) -> None:
        certify(gateway, learnt, seed)
        watched.follow(gateway)

    def change(provider: SimulatedProvider) -> None:
        SCENES[branches.split()](provider)

    middle = messages[len(messages) // 2]

    def one_run() -> Outcome:
        result = run(
            messages, population.shop, config=config(), card=CARD, seed=seed, latents=seed,
            hooks={middle.number: change}, ready=ready, shape=named,
        )  # fmt: skip
        return watched.outcome(result.records, middle.at, result.bill)

    return branches.results(one_run)


class Watched:
    """What a gateway did to its tiers in a run."""

    def __init__(self) -> None:
        self.events: list[tuple[float, str]] = []
        self._gateway: Gateway | None = None
        self._start = 0.0

    def follow(self, gateway: Gateway) -> None:
        """Notes every change of state from now on."""
        self._gateway, self._start = gateway, gateway.clock.now()
        budgets = gateway.parts.budgets

        def changed(route: str, standing: Any) -> None:
            self.events.append((gateway.clock.now() - self._start, standing.state))

        budgets.listen(changed)

    def outcome(self, records: Sequence[Record], changed_at: float, bill: int) -> Outcome:
        """The figures of a run."""
        assert self._gateway is not None
        begin = records[0].at
        refuted = [at for at, state in self.events if state == "refuted" and at + begin >= changed_at]
        end = refuted[0] + begin if refuted else float("inf")
        cheap = LINEUPS[CARD].of_tier("fast")
        assert cheap is not None
        routed = [record for record in records if cheap.id in record.models]
        after = [record for record in records if changed_at <= record.at < end]
        wrong = [record for record in after if cheap.id in record.models and not record.right]
        requests = sum(record.requests for record in records)
        return Outcome(
            wrong=len(wrong),
            audit_share=(bill - sum(record.actual or 0 for record in records)) / bill if bill else 0.0,
            stepbacks=sum(state == "refuted" for _, state in self.events),
            suspensions=sum(state == "suspended" for _, state in self.events),
            stepped_back=bool(refuted),
            routed_share=sum(record.requests for record in routed) / max(1, requests),
            after=sum(record.requests for record in after),
        )


SCENES: Mapping[str, Callable[[SimulatedProvider], None]] = {
    "wrong30": worse(0.3),
    "wrong10": worse(0.1),
    "same_facts": reworded,
}
