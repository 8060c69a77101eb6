"""What will be asked, what of it is worth an answer ahead, and when it is quiet."""

import pytest

from hapenny.prefetch.forecast import HOUR, Asked, Demand, Load, OffPeak

DAY, CENT = 86_400.0, 10_000_000


def daily(fingerprint, days, per_day=6, hour=9, cost=CENT):
    return [
        Asked(fingerprint, day * DAY + hour * HOUR + at * HOUR / per_day, cost)
        for day in range(days)
        for at in range(per_day)
    ]


def plan(requests, now=30 * DAY, **rest):
    demand = Demand()
    demand.add(sorted(requests, key=lambda asked: asked.at))
    return demand.plan(now, **{"horizon": DAY, "budget": 100 * CENT, "stored": lambda f: False, **rest})


def test_frequent_questions_are_planned_and_rare_ones_are_not():
    planned = plan(daily("often", 30) + [Asked("once", 29 * DAY, CENT)])
    assert [p.fingerprint for p in planned] == ["often"]
    assert planned[0].expected == pytest.approx(6, rel=0.5)
    assert planned[0].saves > 0


def test_recent_demand_counts_more_than_old():
    old = daily("old", 10)
    new = [Asked("new", asked.at + 20 * DAY, CENT) for asked in daily("new", 10)]
    assert [p.fingerprint for p in plan(old + new)] == ["new"]


def test_seasonality_decides_when():
    requests = daily("morning", 28, per_day=8, hour=9)
    at_eight = plan(requests, now=28 * DAY + 8 * HOUR, horizon=2 * HOUR)
    at_noon = plan(requests, now=28 * DAY + 12 * HOUR, horizon=2 * HOUR)
    assert [p.fingerprint for p in at_eight] == ["morning"]
    assert at_noon == []


def test_what_is_stored_is_left_alone_and_the_budget_holds():
    requests = [asked for name in "abcdef" for asked in daily(name, 30)]
    assert {p.fingerprint for p in plan(requests, stored=lambda f: f == "a")} == set("bcdef")
    planned = plan(requests, budget=int(1.1 * CENT))
    assert len(planned) == 2
    assert sum(p.cost for p in planned) <= 1.1 * CENT


def test_batch_prices_make_it_cheaper():
    (batch,), (live,) = plan(daily("q", 30)), plan(daily("q", 30), discount=1.0)
    assert batch.cost * 2 == live.cost
    assert batch.saves > live.saves


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


def off_peak(ttl, named=None):
    """Of a week in which nothing goes on from midnight to eight, and much in the rest of the day."""
    quiet = OffPeak(filled(7, lambda hour: 100 if hour >= 8 else 0), named, ttl)
    now = 7 * DAY
    return lambda hour: quiet.contains(now + hour * HOUR + 60, now)


def test_quiet_hours_are_off_peak_and_busy_ones_are_left_to_clients():
    off = off_peak(ttl=DAY)
    assert off(3)
    assert not off(12)


def test_busy_hours_are_off_peak_where_an_answer_of_the_night_would_not_live_until_then():
    off = off_peak(ttl=HOUR)
    assert not off(8)
    assert off(12)


def test_hours_that_are_named_are_kept_to():
    off = off_peak(ttl=HOUR, named=[2])
    assert off(2)
    assert not off(3)
    assert not off(12)


def test_the_next_off_peak_moment_is_the_beginning_of_such_an_hour():
    quiet = OffPeak(filled(7), [22], HOUR)
    assert quiet.after(12.5 * HOUR, 0.0) == 22 * HOUR
    assert quiet.after(22.25 * HOUR, 0.0) == 22.25 * HOUR
    assert OffPeak(filled(7), [], HOUR).after(12.5 * HOUR, 0.0) == 12.5 * HOUR
