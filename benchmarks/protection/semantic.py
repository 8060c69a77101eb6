"""The semantic cache when the world changes: right answers of another day, or customers with other questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from hapenny.simulation.workload.mix import Mix
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message, Population
from hapenny.studies.player import Record
from hapenny.studies.virtual_run import everything, run

CARD = "current-2026"
WINDOW = 500
_A_DAY = 40_000
_FIRST_TOPIC = ("returns", "shipping", "store", "small_talk")


def changed_answers(mix: Mix, seed: int, messages: int) -> int:
    """Wrong semantic hits among the 500 requests after the shop's day has changed (prices, stock, deliveries), at half
    of the run."""
    population = Population(mix, seed=seed)
    half = messages // 2
    before = population.messages(half, half / _A_DAY)
    after = population.messages(half, half / _A_DAY, first_day=1)
    return _wrong(before, after, population.shop, seed)


def changed_topic(mix: Mix, seed: int, messages: int) -> int:
    """The same after customers who asked about the rules of the shop begin to ask about all else."""
    half = messages // 2
    first = Population(_only(mix, True), seed=seed)
    second = Population(_only(mix, False), first.shop, seed=seed + 1)
    return _wrong(first.messages(half, half / _A_DAY), second.messages(half, half / _A_DAY), first.shop, seed)


CHANGES: Mapping[str, Callable[[Mix, int, int], int]] = {"answers": changed_answers, "topic": changed_topic}


def _only(mix: Mix, first: bool) -> Mix:
    chosen = {name: each for name, each in mix.intents.items() if (each.asks in _FIRST_TOPIC) == first}
    if not chosen:
        return mix
    total = sum(each.share for each in chosen.values())
    return replace(
        mix, intents={name: replace(each, share=each.share / total) for name, each in chosen.items()},
        traffic=replace(mix.traffic, campaigns=(), releases=()),
    )  # fmt: skip


def _wrong(before: Sequence[Message], after: Sequence[Message], shop: Shop, seed: int) -> int:
    modes = {"tiers": "off", "prune": "off", "window": "off", "templates": "off", "cascade": "off"}
    config = everything("balanced", CARD, max_quality_loss=0.01, holdout=0.0, stages=modes)
    result = run(after[:WINDOW], shop, config=config, card=CARD, seed=seed, latents=seed, learn=before)
    seen = wrong = 0
    for record in result.records:
        if seen >= WINDOW:
            break
        seen += record.requests
        wrong += _hit(record) and not record.right
    return wrong


def _hit(record: Record) -> bool:
    return bool(record.savings.get("semantic", 0) > 0)
