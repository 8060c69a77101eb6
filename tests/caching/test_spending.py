"""A budget that work under way cannot break, and the hours in which it is quiet."""

import pytest

from hapenny.prefetch.budget import DAY, DayBudget
from hapenny.prefetch.demand import Asked, Demand
from hapenny.prefetch.load import HOUR, Load


@pytest.fixture
def budget(clock):
    clock.time = 100 * DAY
    return DayBudget(1_000, clock)


def test_what_is_held_and_spent_never_exceeds_the_limit(budget):
    assert budget.hold("a", 600)
    assert not budget.hold("b", 500)
    assert budget.hold("b", 400)
    assert budget.left == 0
    budget.settle("a", 250)
    assert (budget.spent, budget.held, budget.left) == (250, 400, 350)
    assert budget.hold("b", 750)  # more for the same work, in place of what was held
    assert not budget.hold("b", 751)
    budget.settle("b", 0)
    assert budget.left == 750


def test_a_new_day_is_a_new_budget_but_for_work_under_way(budget, clock):
    budget.hold("job", 300)
    budget.settle("other", 700)
    clock.time += DAY
    assert (budget.spent, budget.held, budget.left) == (0, 300, 700)
    budget.settle("job", 280)
    assert budget.left == 720


def test_an_earlier_process_is_not_forgotten(budget):
    budget.load(900)
    budget.resume("job", 400)  # it is paid, whatever is left
    assert budget.left == 0
    assert not budget.hold("new", 1)


def test_a_reload_goes_on_with_the_same_day(budget, clock):
    budget.hold("job", 300)
    budget.settle("", 100)
    smaller = DayBudget(350, clock)
    smaller.follow(budget)
    assert (smaller.spent, smaller.held, smaller.left) == (100, 300, 0)


def filled(days, per_hour=lambda hour: 10 if 8 <= hour < 20 else 1):
    load = Load()
    load.load({24 * day + hour: per_hour(hour) for day in range(days) for hour in range(24)})
    return load


def test_quiet_hours_are_learnt():
    quiet = filled(7).quiet_hours(7 * 24 * HOUR)
    assert quiet == frozenset([*range(8), *range(20, 24)])


def test_a_day_must_have_been_seen_and_alike_hours_are_not_quiet():
    assert filled(0).quiet_hours(HOUR) is None
    assert Load().quiet_hours(1e9) is None
    assert filled(3, lambda hour: 5).quiet_hours(72 * HOUR) is None


def test_the_last_two_weeks_count():
    load = filled(40)
    for day in range(40, 60):
        for hour in range(24):
            load.add((24 * day + hour) * HOUR, 10 if hour < 8 else 1)
    assert load.quiet_hours(60 * 24 * HOUR) == frozenset(range(8, 24))


def test_demand_outlives_a_restart():
    demand, again = Demand(), Demand()
    demand.add([Asked("q", at * HOUR, 1_000) for at in range(48)])
    again.loads(demand.dumps())
    for model in (demand, again):
        assert model.expected("q", 48 * HOUR, 50 * HOUR, 48 * HOUR) == pytest.approx(2, rel=0.2)
    assert again.expected("another", 0, HOUR, 0) == 0


def test_many_requests_are_worth_no_more_than_the_one_the_model_would_have_answered():
    demand = Demand()
    demand.add([Asked("q", at * 60.0, 1_000) for at in range(3_000)])
    rest = {"horizon": HOUR, "budget": 10**9, "stored": lambda f: False}
    (planned,) = demand.plan(180_000.0, discount=0.5, wait_worth=0.0, **rest)
    assert planned.expected > 30
    assert planned.saves == pytest.approx(500, abs=2)


def test_money_alone_never_asks_at_full_price():
    demand = Demand()
    demand.add([Asked("q", at * 60.0, 1_000) for at in range(3_000)])
    full = {"horizon": HOUR, "budget": 10**9, "stored": lambda f: False, "discount": 1.0}
    assert demand.plan(180_000.0, wait_worth=0.0, **full) == []
    assert len(demand.plan(180_000.0, wait_worth=0.25, **full)) == 1


def test_what_the_present_answer_covers_is_not_counted():
    demand = Demand()
    demand.add([Asked("q", at * 600.0, 1_000) for at in range(300)])
    now = 180_000.0
    rest = {"horizon": HOUR, "budget": 10**9, "stored": lambda f: False}
    assert demand.plan(now, expires=lambda f: now + 0.9 * HOUR, **rest) == []
    assert len(demand.plan(now, expires=lambda f: now + 0.1 * HOUR, **rest)) == 1
    # A job's answer comes later, and lives on from then.
    assert len(demand.plan(now, expires=lambda f: now + 0.9 * HOUR, delay=HOUR, **rest)) == 1
