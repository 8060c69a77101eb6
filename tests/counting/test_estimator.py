"""The estimator learns a hidden tokenizer, keeps its promise of coverage, and notices a silent change."""

import statistics

import numpy as np
import pytest

from hapenny.counting import Estimator, FeatureCache
from tests.counting.corpus import requests, tokenizer

OLD, NEW = tokenizer(6, 0.9, 3), tokenizer(4, 1.6, 1)


def run(estimator: Estimator, count, seed: int, number: int) -> tuple[list[float], list[bool]]:
    errors, covered = [], []
    for texts in requests(seed, number):
        estimate, reported = estimator.count(texts), count(texts)
        errors.append(abs(estimate.tokens / reported - 1))
        covered.append(estimate.upper >= reported)
        estimator.learn(estimate.features, reported)
    return errors, covered


@pytest.fixture(scope="module", params=["bytes", "base"])
def taught(request: pytest.FixtureRequest):
    other = tokenizer(7, 1.1, 2)
    base = (lambda text: other([text])) if request.param == "base" else None
    estimator = Estimator(FeatureCache(base))
    warm = run(estimator, OLD, 1, 200)
    return estimator, warm, run(estimator, OLD, 2, 800)


def test_error_falls_under_three_percent(taught) -> None:
    _, (first, _), (errors, _) = taught
    assert statistics.median(errors) < 0.03
    assert statistics.median(errors) < statistics.median(first[:10])


def test_upper_bound_covers_what_it_promises(taught) -> None:
    _, _, (_, covered) = taught
    assert 0.93 <= statistics.mean(covered) <= 0.97


def test_silent_switch_is_noticed_and_learned_again(taught) -> None:
    estimator = Estimator(taught[0].cache)
    assert estimator.restore(taught[0].state())
    before = estimator.resets
    errors, _ = run(estimator, NEW, 3, 40)
    assert estimator.resets > before
    assert statistics.median(errors[10:30]) < 0.06
    assert statistics.median(errors[:3]) > 0.1


def test_one_odd_report_changes_little(taught) -> None:
    estimator = Estimator(taught[0].cache)
    estimator.restore(taught[0].state())
    probe = requests(9, 1)[0]
    before = estimator.count(probe).tokens
    estimate = estimator.count(requests(10, 1)[0])
    estimator.learn(estimate.features, estimate.tokens * 30)
    assert abs(estimator.count(probe).tokens / before - 1) < 0.05


def test_impossible_reports_are_ignored() -> None:
    estimator = Estimator()
    before = estimator.count("hello there").tokens
    estimator.learn(estimator.count("hello there").features, 0)
    estimator.learn(estimator.count("hello there").features, -5)
    assert (estimator.count("hello there").tokens, estimator.learned) == (before, 0)


def test_first_guess_without_any_report_is_of_the_right_size() -> None:
    text = "The quick brown fox jumps over the lazy dog while the neighbours watch from their windows."
    estimate = Estimator().count(text)
    assert 14 <= estimate.tokens <= 24
    assert estimate.upper > estimate.tokens


def test_state_round_trip_gives_the_same_estimates(taught) -> None:
    copy = Estimator(taught[0].cache)
    assert copy.restore(taught[0].state())
    for texts in requests(5, 20):
        assert copy.count(texts).tokens == taught[0].count(texts).tokens
        assert copy.count(texts).upper == taught[0].count(texts).upper


def test_state_of_another_base_is_refused(taught) -> None:
    estimator = Estimator(FeatureCache(None if taught[0].has_base else len))
    before = estimator.state()
    assert not estimator.restore(taught[0].state())
    assert estimator.state() == before


def test_weights_stay_finite_over_thousands_of_equal_requests() -> None:
    estimator = Estimator()
    vector = estimator.count("always the same words").features
    for _ in range(3000):
        estimator.learn(vector, 11)
    assert estimator.count("always the same words").tokens == 11
    assert np.isfinite(estimator.state().covariance).all()
