"""`python -m hapenny.studies.baseline`: what a mix costs with everything off, by intent, before any model is asked.

Prompts are counted by the card's own tokenizer, answers are as long as the mix says: this is how a mix is calibrated.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from msgspec import Struct

from hapenny.catalog import Card, resolve
from hapenny.catalog.catalog import DATA
from hapenny.core.clock import RealClock
from hapenny.simulation.cards import LINEUPS, Lineup
from hapenny.simulation.provider import SimulatedProvider
from hapenny.simulation.workload.mix import load
from hapenny.simulation.workload.requests import answered, request
from hapenny.simulation.workload.shop import Shop, estimate
from hapenny.simulation.workload.shoppers import Message, Population

_MONTH = 30


class Cost(Struct, frozen=True):
    """Mean tokens and dollars of a message."""

    messages: int
    prompt: float
    answer: float
    usd: float


def costs(population: Population, lineup: Lineup, count: int, days: float) -> dict[str, Cost]:
    """By intent, and under "" for all: what `count` messages over `days` cost on the card's baseline model."""
    card = resolve(lineup.baseline)
    if card is None:
        raise KeyError(lineup.baseline)
    price_in, price_out = _rates(card)
    provider = SimulatedProvider(RealClock(0), lineup)
    messages = population.messages(count, days)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for message in messages:
        prompt, answer = _tokens(message, messages, population.shop, provider)
        for name in (message.intent, ""):
            sums[name][0] += 1
            sums[name][1] += prompt
            sums[name][2] += answer
    return {
        name: Cost(n, prompt / n, answer / n, float((prompt * price_in + answer * price_out) / n / 10**12))
        for name, (n, prompt, answer) in sums.items()
    }


def _tokens(message: Message, messages: Sequence[Message], shop: Shop, provider: SimulatedProvider) -> tuple[int, int]:
    model = provider.lineup.baseline
    history = [(messages[number].text, messages[number].item.right[0]) for number in message.earlier]
    asked = request(message, history)
    prompt = provider.count(asked, model)
    call = message.item.call
    if call is None:
        return prompt, message.item.tokens
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    after = answered(asked, "call", call.name, arguments, shop.run(call.name, call.arguments, message.day))
    return prompt + provider.count(after, model), message.item.tokens + estimate(arguments)


def _rates(card: Card) -> tuple[Fraction, Fraction]:
    """Pico-dollars of a prompt and an answer token, on demand, from the price list itself."""
    cards = {each["id"]: each for each in json.loads(DATA.read_text(encoding="utf-8"))["cards"]}
    rates = cards[card.id]["prices"]["in_region"]["standard"]
    return Fraction(rates["input"]), Fraction(rates["output"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="hapenny.studies.baseline", description=__doc__)
    parser.add_argument("--mix", help="a mix file; without one the reference application's")
    parser.add_argument("--card", default="manga-2024", choices=sorted(LINEUPS))
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--days", type=float, default=28.0)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    mix = load(options.mix)
    population = Population(mix, seed=options.seed)
    table = costs(population, LINEUPS[options.card], options.messages, options.days)
    print(f"mix {mix.name} of {mix.date}, {mix.digest()}; card {options.card}, {LINEUPS[options.card].digest()}")
    print(f"{'intent':16}{'share':>8}{'prompt':>9}{'answer':>8}{'$/message':>11}")
    for name, cost in sorted(table.items(), key=lambda pair: -pair[1].messages):
        share = cost.messages / options.messages
        print(f"{name or 'all':16}{share:8.3f}{cost.prompt:9.0f}{cost.answer:8.0f}{cost.usd:11.5f}")
    month = table[""].usd * mix.traffic.messages_per_day * _MONTH
    print(f"{month:,.0f} dollars a month at {mix.traffic.messages_per_day:,} messages a day")


if __name__ == "__main__":
    main()
