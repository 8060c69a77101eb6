"""A monthly budget over tiers, and what an experiment's arm sets for other stages."""

import pytest

from hapenny.core.arms import ARM_SETTINGS, arm_setting
from hapenny.routing.balance import MONTH_S, Balancer
from hapenny.routing.budget import Budget, Rates
from hapenny.routing.router import Router
from tests.core.house import exchange

RATES = {name: Rates(price, price, price) for name, price in (("fast", 1e6), ("balanced", 5e6), ("strong", 2e7))}


def spend(dollars):
    """Tiers of 600 questions over a month, every third of them hard, each paid for as it was routed."""
    router = Router(
        score=lambda text, intent: 0.9 if "hard" in text else 0.27,
        rates=RATES,
        budget=Budget(Balancer(dollars, started=0.0), RATES),
    )
    paid, tiers = 0.0, {"hard": [], "easy": []}
    for number in range(600):
        kind = "easy" if number % 3 else "hard"
        wall = (number + 1) / 600 * MONTH_S * 0.999
        ruling = router.rule(kind, prefix_tokens=700, output_tokens=300, wall=wall)
        cost = 1_000 * RATES[ruling.tier].input / 1e12
        router.book(cost, wall)
        paid += cost
        tiers[kind].append(ruling.tier)
    return paid, tiers


def test_a_budget_with_room_changes_nothing():
    _, tiers = spend(100.0)
    assert set(tiers["hard"]) == {"strong"}
    assert set(tiers["easy"]) == {"balanced"}


def test_a_tight_budget_is_kept_and_hard_questions_keep_their_tier_longest():
    paid, tiers = spend(4.0)  # without it: 6.00
    assert paid == pytest.approx(4.0, rel=0.1)
    kept = {kind: sum(tier != "fast" for tier in found) / len(found) for kind, found in tiers.items()}
    assert kept["hard"] > kept["easy"]


def test_an_arms_setting_goes_before_the_option_within_bounds():
    there = exchange()
    assert arm_setting(there, "prune.share", 0.5, 0.01, 1.0) == 0.5
    there.stage_notes[ARM_SETTINGS] = {"prune.share": 0.2, "window.limit": "many"}
    assert arm_setting(there, "prune.share", 0.5, 0.01, 1.0) == 0.2
    assert arm_setting(there, "window.limit", 0, 0, 1e9) == 0
    assert "window.limit" in there.notes[0]


def test_an_arms_thresholds_move_the_tiers():
    router = Router(score=lambda text, intent: 0.5)
    assert router.rule("x").tier == "strong"
    assert router.rule("x", thresholds={"balanced": 0.4, "strong": 0.6, "max": 1.1}).tier == "balanced"


def test_what_was_spent_outlives_a_restart_unless_the_budget_changed():
    def make(dollars):
        return Router(budget=Budget(Balancer(dollars, started=0.0), RATES), rates=RATES)

    old = make(10.0)
    old.book(9.5, 1_000.0)
    fresh, other = make(10.0), make(20.0)
    for router in (fresh, other):
        router.loads(old.dumps())
    assert fresh.budget.state() == old.budget.state()
    assert other.budget.state()[2] == 0.0
