"""A budget that work under way cannot break."""

import pytest

from hapenny.prefetch.budget import DAY, DayBudget


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


def test_a_smaller_budget_counts_what_was_spent_and_held_before(budget):
    budget.hold("job", 300)
    budget.settle("", 100)
    budget.limit = 350
    assert (budget.spent, budget.held, budget.left) == (100, 300, 0)
