"""Exact bounds: equal to scipy, and as right as they promise."""

import numpy as np
import pytest
from scipy import stats

from hapenny.evidence import bounds
from hapenny.evidence.certify import fixed_sequence, hoeffding_bentkus


@pytest.mark.parametrize("n", [1, 7, 200, 5_000])
def test_clopper_pearson_equals_scipy(n):
    counts = np.unique(np.linspace(0, n, 9).astype(int))
    low, high = bounds.clopper_pearson(counts, n, 0.05)
    for k, a, b in zip(counts, low, high, strict=True):
        expected = stats.binomtest(int(k), n).proportion_ci(0.95, method="exact")
        assert (a, b) == pytest.approx((expected.low, expected.high), abs=1e-10)


def test_wilson_equals_scipy():
    expected = stats.binomtest(13, 90).proportion_ci(0.9, method="wilson")
    low, high = bounds.wilson(13, 90, 0.1)
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_trials_say_nothing():
    assert [float(v) for v in bounds.clopper_pearson(0, 0)] == [0.0, 1.0]


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="between 0 and trials"):
        bounds.upper_bound(3, 2)


def test_binomial_tail_and_critical_count():
    k = np.arange(-1, 201)
    np.testing.assert_allclose(bounds.binomial_cdf(k, 200, 0.03), stats.binom.cdf(k, 200, 0.03), rtol=1e-9, atol=1e-15)
    critical = bounds.critical_count(200, 0.05, 0.05)
    assert stats.binom.cdf(critical, 200, 0.05) <= 0.05 < stats.binom.cdf(critical + 1, 200, 0.05)
    assert bounds.critical_count(10, 0.05, 0.05) == -1
    n = bounds.smallest_sample(0.02, 0.05)
    assert bounds.critical_count(n, 0.02, 0.05) == 0
    assert bounds.critical_count(n - 1, 0.02, 0.05) == -1


def test_learn_then_test_keeps_its_promise():
    rng = np.random.default_rng(7)
    risks = np.linspace(0.0, 0.2, 30)
    broken = 0
    for _ in range(300):
        # Nested losses: a bolder candidate fails wherever a safer one does.
        losses = rng.random((400, 1)) < risks[None, :]
        choice = fixed_sequence(losses, 0.05, 0.1)
        broken += choice.index >= 0 and risks[choice.index] > 0.05
        assert choice.bound <= 0.05 or choice.index < 0
    assert 0 < broken / 300 <= 0.1 + 3 * (0.09 / 300) ** 0.5


def test_learn_then_test_stops_at_the_first_failure():
    losses = np.zeros((500, 4))
    losses[:200, 1] = 1
    choice = fixed_sequence(losses, 0.05)
    assert (choice.index, choice.tested) == (0, 2)


def test_learn_then_test_on_partial_losses_and_on_nothing():
    rng = np.random.default_rng(1)
    losses = np.column_stack([np.zeros(2_000), rng.random(2_000) * 0.04, rng.random(2_000)])
    choice = fixed_sequence(losses, 0.05)
    assert choice.index == 1
    assert choice.loss < choice.bound <= 0.05
    assert fixed_sequence(np.zeros((0, 3)), 0.05).index == -1
    assert fixed_sequence(np.ones((50, 2)), 0.05).index == -1


def test_hoeffding_bentkus_covers():
    rng = np.random.default_rng(3)
    p = [hoeffding_bentkus(float(rng.beta(1, 9, 300).mean()), 300, 0.1) for _ in range(1_000)]
    assert np.mean(np.array(p) <= 0.1) <= 0.1
