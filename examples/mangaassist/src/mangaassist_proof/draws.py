"""One draw of hidden world and shoppers: everything off, the operator's test, learning, and what comes of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from hapenny.simulation.card import Lineup
from hapenny.simulation.cards import LINEUPS
from hapenny.simulation.provider import Limit
from hapenny.simulation.workload.chance import Draws
from hapenny.simulation.workload.mix import Mix
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import DAY, Message, Population
from hapenny.studies.virtual_run import apart
from mangaassist.gateway_config import TECHNIQUES
from mangaassist_proof.evaluate import Evaluated, evaluate
from mangaassist_proof.play import Played, paced, play_off, play_on

A_DAY = 40_000
"""Messages of a day, by which the stretch of time that is played follows from their number."""
FIRST_S, STREAMING_S = 0.330, 0.650
"""The reference application's latency budget for the model: first token, and from there to the last."""
STEPS = {"token_efficiency": "tokens", "tiering": "tiering", "batching": "batching", "caching": "caching"}
"""The steps in the seed's order, and what is switched on at each."""
_MORE = 0.4
"""Of the messages before: the part that is tested as well where the first look did not decide, and of those the part
that is then not lived through, so that learning stays within its requests."""
_STEP_LEARNING = 1_500
"""Messages before a step's run, for its caches and audits."""


class Size(Struct, frozen=True, kw_only=True):
    """How much is played in a draw: messages measured, tested on all tiers, and lived through before."""

    messages: int = 1_500
    tested: int = 2_800
    lived: int = 3_500


class Draw(Struct, kw_only=True):
    """One draw."""

    world: str
    """`gantt` or `card`: how fast the provider is."""
    off: Played
    on: Played
    beaten: dict[str, str] = {}
    learning_requests: int = 0
    learning_usd: float = 0.0


QUICK = Size(messages=250, tested=2_800, lived=250)
"""To see what is printed: few messages are measured, but the test is as long as it has to be to decide anything."""


def world_of(number: int) -> str:
    """Half of the draws are at the latency budget's speeds, half at the card's."""
    return "gantt" if number % 2 else "card"


def deck_of(card: str, world: str, mix: Mix) -> Lineup:
    """The card's models at the card's speeds, or at the latency budget's: an answer of the mix's 95th percentile."""
    lineup = LINEUPS[card]
    if world == "card":
        return lineup
    return paced(lineup, first_s=FIRST_S, streaming_s=STREAMING_S, tokens=long_answer(mix))


def long_answer(mix: Mix) -> int:
    """Tokens that 95 % of the mix's answers do not exceed."""
    draws = Draws("answers", mix.name)
    intents = list(mix.intents.values())
    shares = [intent.share for intent in intents]
    lengths = []
    for _ in range(4_000):
        answer = intents[draws.weighted(shares)].tokens.answer
        lengths.append(draws.lognormal(answer.p50, answer.p95))
    return round(sorted(lengths)[int(0.95 * len(lengths))])


def traffic(mix: Mix, seed: int, size: Size) -> tuple[Population, list[Message], list[Message], list[Message]]:
    """Shoppers; what is tested, lived through and measured. The first two are other questions than the last."""
    population = Population(mix, seed=seed)
    learning = size.tested + size.lived
    count = size.messages + 2 * learning
    asked = population.messages(count, count / A_DAY)
    measured = asked[-size.messages :]
    before = {message.session for message in asked[: -size.messages]}
    measured = [message for message in measured if message.session not in before]
    learn = apart(asked[: -size.messages], measured)[-learning:] if learning else []
    return population, learn[: size.tested], learn[size.tested :], measured


def draw(card: str, world: str, mix: Mix, seed: int, size: Size) -> Draw:
    """Plays one draw."""
    population, tested, lived, measured = traffic(mix, seed, size)
    lineup, shop = deck_of(card, world, mix), population.shop
    off = play_off(measured, shop, lineup, seed)
    test, lived = operators_test(tested, lived, shop, lineup, seed)
    on = play_on(measured, shop, lineup, seed, learn=lived, trained=test.trained if test is not None else None)
    gained = sum(one.right - other.right for one, other in zip(on.records, off.records, strict=True))
    say(
        f"{card}, {world}, draw {seed}: saved {1 - on.bill / off.bill:.3f}, right {gained / len(off.records):+.4f}, "
        f"{off.cpu_s + on.cpu_s:.0f} s"
    )
    return Draw(
        world=world,
        off=off,
        on=on,
        beaten=test.beaten if test is not None else {},
        learning_requests=on.learning + (test.requests if test is not None else 0),
        learning_usd=(on.learning_bill + (test.bill if test is not None else 0)) / 1e9,
    )


def operators_test(
    tested: Sequence[Message], lived: Sequence[Message], shop: Shop, lineup: Lineup, seed: int
) -> tuple[Evaluated | None, list[Message]]:
    """The operator's test, with a second look at more questions where a cheaper model is ahead and has not won yet; and
    what is left to live through, the fewer the more was tested."""
    lived = list(lived)
    if not tested:
        return None, lived
    test = evaluate(tested, shop, lineup, seed)
    more = round(len(lived) * _MORE)
    if test.trained is None and test.ahead and more:
        test = evaluate(lived[:more], shop, lineup, seed, test)
        lived = lived[len(lived) - more // 4 :]
    return test, lived


def steps(
    card: str, mix: Mix, seed: int, size: Size, orders: Sequence[Sequence[str]] = (tuple(STEPS),)
) -> list[dict[str, Played]]:
    """One draw of each step in each order, and of all but one: by name, `all`, `off`, STEP (that and those before it)
    and `-STEP`. What two orders have in common is played once."""
    population, tested, lived, measured = traffic(mix, seed, size)
    lineup, shop = deck_of(card, "gantt", mix), population.shop
    test, lived = operators_test(tested, lived, shop, lineup, seed)
    trained = test.trained if test is not None else None
    off = play_off(measured, shop, lineup, seed)
    known: dict[tuple[str, ...], Played] = {}

    def played(on: Sequence[str]) -> Played:
        key = tuple(each for each in TECHNIQUES if each in on)
        if key not in known:
            known[key] = play_on(
                measured, shop, lineup, seed, learn=lived[-_STEP_LEARNING:], on=key, trained=trained
            )  # fmt: skip
            say(f"{card}, {' + '.join(key)}: {1 - known[key].bill / off.bill:.3f} saved")
        return known[key]

    return [
        {
            "off": off,
            "all": played(TECHNIQUES),
            **{name: played([STEPS[each] for each in order[: place + 1]]) for place, name in enumerate(order)},
            **{f"-{name}": played([STEPS[each] for each in order if each != name]) for name in order},
        }
        for order in orders
    ]


def tiers(card: str, mix: Mix, seed: int, size: Size) -> dict[str, Played]:
    """One draw of the application with every question of a model asked of one tier, and of everything off (`off`)."""
    population, _, lived, measured = traffic(mix, seed, size)
    lineup, shop = deck_of(card, "gantt", mix), population.shop
    played = {"off": play_off(measured, shop, lineup, seed)}
    for tier, model in lineup.tiers().items():
        if tier != "max":
            played[tier] = play_on(
                measured, shop, lineup, seed, learn=lived[-_STEP_LEARNING:], model=model, holdout=0.0,
                on=("tokens", "batching", "caching"), off=("prune", "window"),
            )  # fmt: skip
    return played


def in_real_time(card: str, mix: Mix, seed: int, count: int = 240, seconds: float = 20.0) -> Played:
    """A short run by the wall clock, at the latency budget's speeds: what we ourselves take is measured."""
    population = Population(mix, seed=seed)
    messages = population.messages(count, count / A_DAY)
    first, last = messages[0].at, messages[-1].at
    scale = seconds / max(1e-9, last - first)
    close = [msgspec.structs.replace(each, at=first + (each.at - first) * scale) for each in messages]
    return play_on(close, population.shop, deck_of(card, "gantt", mix), seed, real=True)


CHANGES = {
    "repeats_less": {"repeat": 0.5}, "repeats_more": {"repeat": 1.5},
    "easy_less": {"easy": 0.5}, "easy_more": {"easy": 1.5},
    "context_less": {"context": 0.5}, "context_more": {"context": 1.5},
    "harder": {"harder": 0.5}, "easier": {"harder": -0.5},
}  # fmt: skip
"""What is changed of the mix: factors on repeats and rephrasings, on the share of easy turns, on retrieved passages;
standard deviations of difficulty."""
EASY = ("order_status", "stock", "price", "release_date", "store", "small_talk")


def changed(mix: Mix, *, repeat: float = 1.0, easy: float = 1.0, context: float = 1.0, harder: float = 0.0) -> Mix:
    """The mix with other repeats, easy turns, context or difficulty."""
    replace = msgspec.structs.replace
    intents = {}
    simple = sum(intent.share for intent in mix.intents.values() if intent.asks in EASY)
    wanted = min(0.95, simple * easy)
    for name, intent in mix.intents.items():
        again = min(repeat, 1 / max(1e-9, intent.repeat + intent.rephrase))
        share = intent.share
        if 0 < simple < 1:
            share *= wanted / simple if intent.asks in EASY else (1 - wanted) / (1 - simple)
        intents[name] = replace(
            intent, share=share, repeat=intent.repeat * again, rephrase=intent.rephrase * again,
            difficulty=max(-3.0, min(3.0, intent.difficulty + harder)),
        )  # fmt: skip
    return replace(mix, intents=intents, documents_scale=mix.documents_scale * context)


LIMITS = {
    **{f"harder_{step:g}": {"harder": step} for step in (1.0, 1.5, 2.0)},
    **{f"easy_{share:g}": {"easy": share} for share in (0.25, 0.0)},
    "context_0.1": {"context": 0.1}, "no_repeats": {"repeat": 0.0},
}  # fmt: skip
"""Changes that go on until the claim breaks, or there is nothing left to change."""


def sensitivity(card: str, mix: Mix, seed: int, size: Size, name: str) -> Draw:
    """One draw of a changed mix."""
    return draw(card, "gantt", changed(mix, **(CHANGES | LIMITS)[name]), seed, size)


def burst(card: str, mix: Mix, seed: int, factor: float = 10.0) -> dict[str, Played]:
    """The first release day's rush: `factor` times the traffic for some minutes, before quotas that hold twice what the
    naive application needs on average; everything off, and on."""
    release = msgspec.structs.replace(mix.traffic.releases[0], factor=factor) if mix.traffic.releases else None
    if release is None:
        return {}
    traffic_ = msgspec.structs.replace(mix.traffic, releases=(release,))
    population = Population(msgspec.structs.replace(mix, traffic=traffic_), seed=seed)
    a_day = A_DAY // 4
    begin = release.day * DAY + release.hour * 3600
    rush = release.minutes * 60 / DAY * factor
    day = population.messages(round(a_day * (1 + rush)), 1.0, release.day)
    measured = [message for message in day if begin - 300 <= message.at < begin + release.minutes * 60 + 300]
    lineup, shop = deck_of(card, "gantt", mix), population.shop
    minute = 2 * 1.35 * a_day / 1440
    quotas = {"*": Limit(rpm=max(4, round(minute)), tpm=round(minute * 4_000))}
    return {
        "off": play_off(measured, shop, lineup, seed, quotas=quotas),
        "on": play_on(measured, shop, lineup, seed, quotas=quotas),
    }


def say(text: str) -> None:
    """Progress, for who waits."""
    print(text, file=sys.stderr, flush=True)


def learnt(draws: Sequence[Draw]) -> dict[str, float]:
    """What learning took, a draw."""
    return {
        "requests": round(sum(each.learning_requests for each in draws) / len(draws)),
        "usd": round(sum(each.learning_usd for each in draws) / len(draws), 2),
    }
