"""Whatever the traffic, the bill ends near the better of writing nothing and writing every prompt to its end."""

import random

import pytest

from hapenny.caching.prefix.placement import Planner
from hapenny.caching.prefix.reuse import Tariff

SHORT, LONG = Tariff(300.0, 1.25), Tariff(3_600.0, 2.0)
BLOCK = 512
MARGIN = 0.02


def price(prompts, tariff, points_of):
    """Input cost relative to no caching; prompts are (seconds, chain)."""
    live, paid, plain = {}, 0.0, 0
    for now, chain in prompts:
        read = next((d for d in range(len(chain), 0, -1) if live.get(chain[d - 1], -1.0) >= now), 0)
        points = points_of(now, chain)
        for depth in [*points, read]:
            if depth:
                live[chain[depth - 1]] = now + tariff.ttl
        top = max([read, *points])
        paid += tariff.read * read + tariff.write * (top - read) + len(chain) - top
        plain += len(chain)
    return paid / plain


def planned(prompts, tariff):
    planner = Planner(tariff)
    return price(prompts, tariff, lambda now, chain: planner.plan(chain, [BLOCK] * len(chain), now).points)


def written(prompts, tariff):
    return price(prompts, tariff, lambda now, chain: [len(chain)])


def prompt(document, asked):
    """A document of twenty blocks and what is asked of it."""
    return [*(hash((document, block)) for block in range(20)), hash((document, asked))]


def strangers(count, gap):
    return [(at * gap, prompt(at, 0)) for at in range(count)]


def regulars(count, gap, documents):
    """The same prompts again and again."""
    return [(at * gap, prompt(at % documents, 0)) for at in range(count)]


def fading(count, gap):
    """Prompts that come again, until all of a sudden none does."""
    return regulars(count // 3, gap, 10) + [(now + count // 3 * gap, chain) for now, chain in strangers(count, gap)]


def mixed(count, gap):
    draw = random.Random(5)
    return [(at * gap, prompt(draw.choice((draw.randrange(15), 1_000 + at)), 0)) for at in range(count)]


@pytest.mark.parametrize("tariff", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize(
    "prompts",
    [
        strangers(2_000, 5.0),
        regulars(2_000, 5.0, 20),
        regulars(2_000, 120.0, 20),
        fading(2_000, 5.0),
        mixed(2_000, 6.0),
    ],
    ids=["strangers", "regulars", "seldom", "fading", "mixed"],
)
def test_the_bill_ends_near_the_better_of_nothing_and_everything(prompts, tariff):
    assert planned(prompts, tariff) <= min(1.0, written(prompts, tariff)) + MARGIN
