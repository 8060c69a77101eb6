"""What is answered ahead, and what each layer earns."""

import pytest

from hapenny.caching.profit import Layer
from hapenny.prefetch.demand import Asked, Demand

HOUR, DAY, CENT = 3600.0, 86_400.0, 10_000_000


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


def test_a_losing_layer_stops_and_later_tries_again():
    layer = Layer("semantic", window=100)
    for _ in range(100):
        layer.add(hit=False, embedding=50, judging=100)
    assert layer.stopped
    assert layer.books().net == -100 * 150
    for _ in range(1_000):
        layer.add(hit=True, saved=10**6)
    assert not layer.stopped


def test_an_earning_layer_goes_on():
    layer = Layer("semantic", window=100)
    for at in range(500):
        layer.add(hit=at % 3 == 0, saved=1_000 if at % 3 == 0 else 0, embedding=50)
    layer.store(2**30, 1.0)
    books = layer.books()
    assert not layer.stopped
    assert books.requests == 100
    assert books.net == books.saved - 100 * 50 - books.storage
    assert books.storage == 5_000_000


def test_storage_alone_can_stop_a_layer():
    layer = Layer("exact", window=10)
    layer.store(2**30, 24.0)
    for _ in range(10):
        layer.add(hit=True, saved=10)
    assert layer.stopped
