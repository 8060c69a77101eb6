"""Cache points: only where they pay, within the provider's limits."""

import itertools

import pytest

from hapenny.caching.prefix.placement import Planner
from hapenny.caching.prefix.reuse import Tariff

SHORT, LONG = Tariff(300.0, 1.25), Tariff(3_600.0, 2.0)


def run(prompts, tariff=SHORT, tokens=512):
    """Input cost relative to no caching; prompts are (seconds, chain)."""
    planner, live, paid, plain, most = Planner(tariff), {}, 0.0, 0.0, 0
    for now, chain in prompts:
        read = next((d for d in range(len(chain), 0, -1) if live.get(chain[d - 1], -1) >= now), 0)
        points = planner.plan(chain, [tokens] * len(chain), now).points
        most = max(most, len(points))
        for depth in [*points, read]:
            if depth:
                live[chain[depth - 1]] = now + tariff.ttl
        top = max([read, *points])
        paid += tokens * (tariff.read * read + tariff.write * (top - read) + len(chain) - top)
        plain += tokens * len(chain)
    assert most <= 4
    return paid / plain


def chain(*names):
    return list(itertools.accumulate(names, lambda a, b: f"{a}/{b}"))


def questions(count, gap=20.0):
    """Document Q&A: one document of 20 blocks, a new question each time."""
    return [(at * gap, chain(*[f"doc{b}" for b in range(20)], f"q{at}")) for at in range(count)]


def agent(count):
    """An agent loop: every step appends two blocks."""
    return [(at * 5.0, chain("system", "tools", *[f"step{b}" for b in range(2 * at)])) for at in range(1, count)]


def strangers(count):
    return [(at * 2.0, chain("system", *[f"user{at}-{b}" for b in range(9)])) for at in range(count)]


def test_a_document_asked_again_and_again_is_cached():
    assert run(questions(40)) < 0.25


def test_an_agent_loop_is_cached_as_it_grows():
    assert run(agent(40)) < 0.45


def test_prompts_that_never_return_are_not_written():
    assert run(strangers(400)) < 1.02


def test_traffic_that_returns_too_late_costs_next_to_nothing():
    """Every prompt comes twice, the second time just after the short lifetime: at first it looks like any other."""
    documents = [
        (number * 4.0 + late, chain(*[f"{number}/{block}" for block in range(12)]))
        for number in range(200)
        for late in (0.0, 320.0)
    ]
    assert run(sorted(documents)) < 1.02


@pytest.mark.parametrize("tariff", [SHORT, LONG])
def test_traffic_of_any_kind_is_at_most_a_little_dearer_than_plain(tariff):
    bursts = [(number * 9.0 + again * 2.0, chain(*[f"{number}/{block}" for block in range(2 + number % 9)], f"{again}"))
              for number in range(120) for again in range(1 + number % 2)]  # fmt: skip
    assert run(sorted(bursts), tariff) < 1.02


def test_writing_everything_is_followed_where_it_is_best():
    """Each prompt is the last one and something new, never the same stretch twice."""
    cost = run(agent(120))
    assert cost < 0.3


def test_the_long_lifetime_is_not_bought_for_one_read():
    pairs = [(at * 50.0 + late, chain(*[f"d{at}-{b}" for b in range(8)])) for at in range(200) for late in (0.0, 25.0)]
    assert run(sorted(pairs), LONG) <= 1.005


def test_nothing_below_the_minimum_is_marked():
    planner = Planner(SHORT, minimum=4_096)
    for at in range(30):
        plan = planner.plan(chain("a", "b", "c", f"q{at}"), [512] * 4, at * 10.0)
        assert plan.points == ()


def test_points_die_with_their_lifetime():
    planner = Planner(SHORT)
    prompts = questions(20)
    for now, parts in prompts:
        planner.plan(parts, [512] * len(parts), now)
    now, parts = prompts[-1]
    assert planner.plan(parts, [512] * len(parts), now + 10).reads > 0
    assert planner.plan(parts, [512] * len(parts), now + 1_000).reads == 0


def test_a_provider_that_reports_no_read_is_believed():
    planner = Planner(SHORT)
    for now, parts in questions(20):
        planner.plan(parts, [512] * len(parts), now)
    planner.forget(parts)
    assert planner.plan(parts, [512] * len(parts), now + 1).reads == 0


def turns(gap, people=100, count=10):
    """Conversations, one begun every minute, that add two blocks a turn after a pause of about `gap` seconds."""
    prompts = []
    for person in range(people):
        for turn in range(1, count):
            at = person * 60.0 + turn * gap * (0.8 + 0.05 * (person % 9))
            prompts.append((at, chain("system", *[f"{person}-{block}" for block in range(2 + 2 * turn)])))
    return sorted(prompts)


def lifetimes(prompts):
    """The lifetimes asked for, with both on offer."""
    planner = Planner(SHORT, LONG)
    plans = [planner.plan(parts, [512] * len(parts), now) for now, parts in prompts]
    assert all(list(plan.ttls) == sorted(plan.ttls) for plan in plans), "a longer lifetime never behind a shorter one"
    return [plan.ttls[0] for plan in plans if plan.writes]


def test_pauses_longer_than_the_short_lifetime_get_the_long_one():
    asked = lifetimes(turns(gap=900.0))
    assert asked.count(LONG.ttl) > 0.8 * len(asked) > 50


def test_quick_turns_never_pay_for_the_long_lifetime():
    assert set(lifetimes(turns(gap=30.0))) == {SHORT.ttl}


def test_documents_asked_about_for_an_hour_open_the_long_lifetime_without_a_write_at_risk():
    documents = [
        (now + number * 40.0, [f"{number}/{part}" for part in parts])
        for number in range(40)
        for now, parts in questions(12, gap=200.0)
    ]
    assert run(sorted(documents), LONG) < 0.75


@pytest.mark.parametrize(("tariff", "reads"), [(SHORT, 0.25 / 0.9), (LONG, 1.0 / 0.9)])
def test_break_even(tariff, reads):
    assert tariff.break_even == pytest.approx(reads)
