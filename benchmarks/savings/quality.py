"""Quality beside saving, in virtual time: the same pipeline, many seeds, paired with everything off.

Each seed is another draw of the hidden world and of the shoppers. It begins with learning requests on other questions,
whose money is told apart; what is measured comes after them. Beside ours stands the best policy in hindsight: for each
intent and third of the cold-start score the tier that, knowing every answer, saves most at the same loss.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hapenny.routing.complexity import score
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.workload.mix import Mix
from hapenny.simulation.workload.shoppers import Message, Population
from hapenny.studies.paired import Paired, compare
from hapenny.studies.player import Record
from hapenny.studies.virtual_run import Result, apart, everything, run

_VECTORS: dict[str, NDArray[np.float32]] = {}
"""Of texts that this process has embedded: the cards are asked the same questions, and answers come again."""
LOSS = 0.01
FRONTIER = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.05)
_A_DAY = 40_000
"""Messages of a day, by which the stretch of time that is played follows from their number."""


class Seed(NamedTuple):
    """One seed of one card."""

    messages: list[Message]
    ours: Result
    off: Result
    tiers: dict[str, Result]
    """Everything off, all requests asked of that tier."""


def aside() -> None:
    """Lets all other processes go before this one, which plays seeds."""
    os.nice(19)


def traffic(mix: Mix, seed: int, requests: int, learning: int) -> tuple[Population, list[Message], list[Message]]:
    """Shoppers, what they ask first for the gateway to learn from, and what is measured."""
    population = Population(mix, seed=seed)
    count = requests + 2 * learning  # many questions come again: those are no learning on other questions
    asked = population.messages(count, count / _A_DAY)
    measured = asked[-requests:]
    before = {message.session for message in asked[:-requests]}
    measured = [message for message in measured if message.session not in before]
    return population, apart(asked[:-requests], measured)[-learning:] if learning else [], measured


def play(card: str, mix: Mix, seed: int, requests: int, learning: int, preset: str = "balanced") -> Seed:
    """Runs one seed."""
    population, learn, messages = traffic(mix, seed, requests, learning)
    lineup = LINEUPS[card]

    def go(config: Any, model: str | None = None, learn: Sequence[Message] = ()) -> Result:
        return run(
            messages, population.shop, config=config, card=card, seed=seed, latents=seed, model=model, learn=learn,
            vectors=_VECTORS,
        )  # fmt: skip

    off = everything("off", card)
    ours = go(everything(preset, card, max_quality_loss=LOSS), learn=learn)
    print(f"{card} seed {seed}: {ours.requests_a_second:.0f} requests a second of processor time", file=sys.stderr)
    tiers = {
        tier: go(off, model.id)
        for tier in ("fast", "balanced")
        if (model := lineup.of_tier(tier)) is not None and model.id != lineup.baseline
    }
    return Seed(messages, ours, go(off), tiers)


def report(seeds: Sequence[Seed]) -> dict[str, Any]:
    """The figures of one card."""
    ours, off = sum(each.ours.bill for each in seeds), sum(each.off.bill for each in seeds)
    quality = pooled(seeds)
    saved = 1 - ours / off
    frontier = hindsight(seeds)
    best = frontier[LOSS]
    learnt = [record for each in seeds for record in each.ours.learning]
    learning_bill = sum(each.ours.learning_bill for each in seeds)
    shown = quality.noninferior(LOSS)
    stand = levers(seeds, off)
    worst = min(seeds, key=lambda each: paired(each).difference)
    return {
        "quality": {
            "ours": round(quality.ours, 5),
            "baseline": round(quality.baseline, 5),
            "diff": round(quality.difference, 5),
            "ci95": [round(quality.low, 5), round(quality.high, 5)],
            "distinct": quality.distinct,
            "messages": quality.messages,
            "noninferior_1pt": shown,
            "worst_seed_diff": round(paired(worst).difference, 5),
            "by_intent": by_intent(seeds),
            "not_measured": "answers of the run over sockets, whose real questions have no key; tone, style and length "
            "of answers; latency of this part is virtual",
        },
        "saved_virtual": round(saved, 4),
        "saved_by_seed": [round(1 - each.ours.bill / each.off.bill, 4) for each in seeds],
        "frontier": [{"loss": loss, "saved": round(share, 4)} for loss, share in frontier.items()],
        "saved_noninferior": round(saved, 4) if shown else 0.0,
        "hindsight_noninferior": round(best, 4),
        "captured": round(saved / best, 4) if best else 0.0,
        "background_share": round(sum(each.ours.background for each in seeds) / ours, 4),
        "by_technique_virtual": {name: each["saved"] for name, each in stand.items()},
        "levers": stand,
        "learning": {
            "messages": len(learnt),
            "bill_usd": learning_bill / 1e9,
            "saved_usd": sum(record.saved or 0 for record in learnt) / 1e9,
            "evidence_share": round(
                (learning_bill - sum(record.actual or 0 for record in learnt)) / max(1, learning_bill), 4
            ),
        },
        "seeds": len(seeds),
        "requests_a_second": round(float(np.mean([each.ours.requests_a_second for each in seeds])), 1),
    }


def paired(seed: Seed) -> Paired:
    """Quality of one seed."""
    return compare(_pairs(seed))


def pooled(seeds: Sequence[Seed]) -> Paired:
    """Quality over all seeds: each distinct question is one unit, its mean over the seeds."""
    return compare(pair for seed in seeds for pair in _pairs(seed))


def _pairs(seed: Seed) -> list[tuple[str, bool, bool]]:
    return [
        (one.question, one.right, other.right)
        for one, other in zip(seed.ours.records, seed.off.records, strict=True)
    ]  # fmt: skip


def by_intent(seeds: Sequence[Seed]) -> dict[str, dict[str, float]]:
    """Where the difference comes from."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for seed in seeds:
        for one, other in zip(seed.ours.records, seed.off.records, strict=True):
            entry = sums[one.intent]
            entry[0] += 1
            entry[1] += one.right - other.right
            entry[2] += one.models[-1:] != other.models[-1:]
    return {
        name: {"messages": n, "diff": round(gap / n, 5), "changed": round(changed / n, 3)}
        for name, (n, gap, changed) in sorted(sums.items(), key=lambda item: -item[1][0])
    }


def levers(seeds: Sequence[Seed], off: int) -> dict[str, dict[str, float]]:
    """Where each technique stands on the frontier: `saved`, share of what everything-off cost; `loss`, right answers
    that were lost, net, among the messages on which it saved or spent anything, as a share of all messages; `touched`,
    the share of these messages. A message that several techniques touched counts for each: losses do not add up."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    messages = sum(len(seed.messages) for seed in seeds)
    for seed in seeds:
        for one, other in zip(seed.ours.records, seed.off.records, strict=True):
            for name, nano in one.savings.items():
                entry = sums[name]
                entry[0] += nano
                entry[1] += (other.right - one.right) * bool(nano)
                entry[2] += bool(nano)
    return {
        name: {"saved": round(nano / off, 4), "loss": round(lost / messages, 5), "touched": round(n / messages, 4)}
        for name, (nano, lost, n) in sorted(sums.items(), key=lambda item: -item[1][0])
    }


def hindsight(seeds: Sequence[Seed]) -> dict[float, float]:
    """Saved share of the best policy in hindsight over (intent x third of the score), at each loss of the frontier.

    What ours answered from the exact cache costs it nothing either. The choice is a knapsack over the cells of all
    seeds, solved by its Lagrangian: at falling prices of a lost answer each cell takes the tier worth most.
    """
    table = _cells(seeds)
    questions = sum(len(seed.messages) for seed in seeds)
    whole = sum(record.actual or 0 for seed in seeds for record in seed.off.records)
    best = dict.fromkeys(FRONTIER, 0.0)
    for price in np.geomspace(1e4, 1e-3, 200):
        lost, cost = 0, 0.0
        for options in table.values():
            chosen = min(options.values(), key=lambda each: each[1] / whole + price * each[0] / questions)
            lost, cost = lost + chosen[0], cost + chosen[1]
        for loss in FRONTIER:
            if lost / questions <= loss:
                best[loss] = max(best[loss], 1 - cost / whole)
    return best


def _cells(seeds: Sequence[Seed]) -> Mapping[tuple[str, int], dict[str, tuple[int, float]]]:
    """By intent and third of the score, and by tier: answers lost, and what they cost."""
    cuts = np.quantile([score(message.text) for seed in seeds for message in seed.messages[:2_000]], (1 / 3, 2 / 3))
    sums: dict[tuple[str, int], dict[str, tuple[int, float]]] = defaultdict(dict)

    def add(where: tuple[str, int], tier: str, lost: int, cost: float) -> None:
        before = sums[where].get(tier, (0, 0.0))
        sums[where][tier] = (before[0] + lost, before[1] + cost)

    for seed in seeds:
        for place, (message, mine, strong) in enumerate(
            zip(seed.messages, seed.ours.records, seed.off.records, strict=True)
        ):
            where = (message.intent, int(np.searchsorted(cuts, score(message.text))))
            free = _free(mine)
            add(where, "strong", 0, 0.0 if free else float(strong.actual or 0))
            for tier, result in seed.tiers.items():
                record = result.records[place]
                add(where, tier, strong.right - record.right, 0.0 if free else float(record.actual or 0))
    return sums


def _free(record: Record) -> bool:
    return record.calls == 0 and bool(record.savings.get("exact"))
