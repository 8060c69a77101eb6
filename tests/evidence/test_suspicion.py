"""Worse answers raise a suspicion and prove it; as many as the promise allows do not."""

import random

from hapenny.evidence.suspicion import Suspicion

USUAL = 0.04


def until(rate, reached, seed, settling=False, most=2_000):
    """Answers until something is reached, at a rate of worse ones."""
    suspicion, draw = Suspicion(), random.Random(seed)
    for count in range(1, most):
        suspicion.take(draw.random() < rate, USUAL, settling=settling)
        if reached(suspicion):
            return count
    return most


def test_the_more_often_answers_are_worse_the_sooner_it_is_suspected():
    counts = {
        rate: sorted(until(rate, lambda each: each.raised, seed) for seed in range(41))[20]
        for rate in (0.3, 0.12, 0.03)
    }
    assert counts[0.3] <= 12
    assert counts[0.12] <= 60
    assert counts[0.03] > 2 * counts[0.12]


def test_what_the_promise_allows_is_hardly_ever_proven_and_a_change_hardly_ever_cleared():
    def outcome(rate, seed):
        suspicion, draw = Suspicion(), random.Random(seed)
        while not (suspicion.proven or suspicion.cleared):
            suspicion.take(draw.random() < rate, USUAL, settling=True)
        return suspicion.proven

    assert sum(outcome(USUAL, seed) for seed in range(300)) <= 9
    assert sum(outcome(3 * USUAL, seed) for seed in range(100)) >= 90


def test_it_goes_on_from_where_it_was_left():
    suspicion = Suspicion()
    suspicion.take(True, USUAL, settling=False)
    again = Suspicion(suspicion.sums)
    for each in (suspicion, again):
        for _ in range(3):
            each.take(True, USUAL, settling=False)
    assert again.raised and again.sums == suspicion.sums


def test_three_times_as_many_worse_answers_are_proven_on_a_few_hundred_pairs():
    ends = [until(3 * USUAL, lambda each: each.lasting, seed) for seed in range(40)]
    assert sorted(ends)[36] <= 250


def watched(rate, seed, most=700):
    """What comes of answers of a rate, suspicions settled and cleared in between."""
    suspicion, draw, suspended = Suspicion(), random.Random(seed), False
    for _ in range(most):
        suspicion.take(draw.random() < rate, USUAL, settling=suspended)
        if suspicion.lasting or (suspended and suspicion.proven):
            return "refuted"
        if suspicion.raised if not suspended else suspicion.cleared:
            suspended = not suspended
            suspicion.reset()
    return "held"


def test_a_small_change_is_proven_in_the_long_run_though_single_suspicions_are_cleared():
    assert sum(watched(2 * USUAL, seed) == "refuted" for seed in range(100)) >= 85
    assert sum(watched(0.7 * USUAL, seed) == "refuted" for seed in range(100)) <= 3
