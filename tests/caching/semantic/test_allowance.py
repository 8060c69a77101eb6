"""What is surely left of a promise may be spent later, within limits."""

import pytest

from hapenny.caching.semantic.allowance import Allowance

Z = 1.645


def after(requests, error_each, max_error=0.01):
    allowance = Allowance()
    for _ in range(requests):
        allowance.request()
        allowance.spend(error_each)
    return allowance.limit(max_error, Z)


def test_a_young_route_has_next_to_nothing_to_carry_over():
    assert after(300, 0.006) == 0.01


def test_a_careful_route_may_spend_what_it_left_over():
    assert 0.01 < after(2000, 0.004) <= 0.0115


def test_what_is_carried_over_is_bounded():
    assert after(50_000, 0.0) == pytest.approx(0.0115)


def test_audits_that_find_more_than_expected_use_it_up():
    careful, wrong = Allowance(1500, 5), Allowance(1500, 5)
    for _ in range(10):
        careful.audited(0.01, False)
        wrong.audited(0.01, True)
    assert wrong.limit(0.01, Z) == 0.01 < careful.limit(0.01, Z)


def test_overspending_never_widens_the_promise():
    assert after(5000, 0.02) == 0.01


def test_known_wrong_answers_use_it_up():
    careful, reported = Allowance(), Allowance()
    for allowance in (careful, reported):
        for _ in range(1600):
            allowance.request()
    reported.spend(15.0)
    assert reported.limit(0.01, Z) < careful.limit(0.01, Z)
