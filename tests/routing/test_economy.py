"""Price to performance, break-even and cost balancing."""

import numpy as np
import pytest

from hapenny.routing.balance import Balancer, Offer, shadow_price, shares
from hapenny.routing.performance import Outcomes, break_even, standings


def test_standings_rank_by_ratio_with_an_interval_that_covers():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        cost = rng.gamma(4, 0.001, 300)
        lines = standings({"m": Outcomes(quality=list((rng.random(300) < 0.8).astype(float)), cost=list(cost))})
        covered += lines[0].ratio_low <= 0.8 / 0.004 <= lines[0].ratio_high
    assert covered / 200 > 0.9


def test_pareto_front():
    ones = [1.0] * 4
    lines = standings(
        {
            "cheap": Outcomes(quality=[1, 0, 1, 0], cost=ones, latency=[0.1, 0.2, 0.3, 0.4]),
            "dear": Outcomes(quality=[1, 1, 1, 0], cost=[3.0] * 4),
            "silly": Outcomes(quality=[1, 0, 0, 0], cost=[2.0] * 4),
            "holey": Outcomes(quality=[1, 1, float("nan"), 0], cost=[9.0] * 4),
        }
    )
    assert {line.model: line.pareto for line in lines} == {"cheap": True, "dear": True, "silly": False, "holey": False}
    assert lines[0].model == "cheap"
    assert lines[0].latency_p50 == pytest.approx(0.25)
    with pytest.raises(ValueError, match="two are the least"):
        standings({"m": Outcomes(quality=[1.0], cost=[1.0])})


def test_break_even():
    assert break_even(1_000, 0.001, 100, 0.004) == pytest.approx(300_000)
    assert break_even(1_000, 0.004, 100, 0.001) is None
    assert break_even(50, 0.001, 100, 0.004) == 0


def logged(n=4_000, seed=1):
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    quality = np.column_stack([1 - 0.5 * hard, 1 - 0.1 * hard])
    cost = np.column_stack([rng.gamma(4, 0.0005, n), rng.gamma(4, 0.003, n)])
    return quality, cost


def test_shadow_price_spends_the_budget_on_those_who_need_it():
    quality, cost = logged()
    budget = 0.5 * cost[:, 1].sum()
    price = shadow_price(quality, cost, budget)
    chosen = np.argmax(quality - price * cost, axis=1)
    spent = cost[np.arange(len(cost)), chosen].sum()
    assert 0.98 * budget < spent <= budget
    assert quality[chosen == 1, 0].mean() < quality[chosen == 0, 0].mean()
    random = np.random.default_rng(0).permutation(chosen)
    rows = np.arange(len(cost))
    assert quality[rows, chosen].mean() > quality[rows, random].mean()
    assert shadow_price(quality, cost, 1e9) == 0
    with pytest.raises(ValueError, match="more than the budget"):
        shadow_price(quality, cost, 0.01)
    assert sum(shares({"fast": quality[:, 0], "strong": quality[:, 1]},
                      {"fast": cost[:, 0], "strong": cost[:, 1]}, budget).values()) == pytest.approx(1)  # fmt: skip


def test_balancer_makes_a_budget_last():
    quality, cost = logged(6_000, 2)
    budget = 0.5 * cost[:, 1].sum()
    balancer = Balancer(budget, started=0.0, period=6_000.0)
    halves = []
    for second, (q, c) in enumerate(zip(quality, cost, strict=True)):
        took = balancer.choose([Offer("fast", q[0], c[0]), Offer("strong", q[1], c[1])])
        balancer.book(took.cost, second + 1.0)
        halves.append(took.tier == "strong")
    assert 0.85 * budget < balancer.spent < 1.03 * budget
    assert np.mean(halves[-1_000:]) > 0.1
    assert balancer.renew(6_001.0)
    assert balancer.spent == 0
    assert not balancer.renew(6_002.0)


def test_nothing_left_means_the_cheapest():
    balancer = Balancer(1.0, started=0.0)
    balancer.book(2.0, 1.0)
    assert balancer.choose([Offer("fast", 0.1, 0.1), Offer("max", 1.0, 0.2)]).tier == "fast"
    with pytest.raises(ValueError, match="above 0"):
        Balancer(0, started=0)
