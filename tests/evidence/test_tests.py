"""Fixed and sequential tests, ratio mismatch, CUPED and Holm against statsmodels, scipy and simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportions_ztest
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from hapenny.evidence import adjust, horizon, ratio, sequential


def test_two_proportions_equals_statsmodels():
    ours = horizon.two_proportions(120, 1_000, 151, 1_100)
    z, p = proportions_ztest([151, 120], [1_100, 1_000])
    assert (ours.statistic, ours.p_value) == pytest.approx((z, p), abs=1e-10)
    assert ours.low < ours.difference < ours.high


def test_two_equal_certainties_are_no_difference():
    assert horizon.two_proportions(50, 50, 60, 60).p_value == 1.0


def test_welch_and_paired_equal_the_libraries():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 80), rng.normal(0.4, 3, 80)
    ours = horizon.welch(a, b)
    expected = stats.ttest_ind(b, a, equal_var=False)
    assert (ours.statistic, ours.p_value) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-10)
    interval = CompareMeans(DescrStatsW(b), DescrStatsW(a)).tconfint_diff(usevar="unequal")
    assert (ours.low, ours.high) == pytest.approx(interval, abs=1e-9)
    pair, known = horizon.paired(a, b), stats.ttest_rel(b, a)
    assert (pair.statistic, pair.p_value) == pytest.approx((known.statistic, known.pvalue), abs=1e-10)


def test_power_equals_statsmodels():
    model = NormalIndPower()
    assert horizon.power(0.05, 0.4, 900, 700) == pytest.approx(model.power(0.05 / 0.4, 900, 0.05, 700 / 900), abs=1e-10)


def test_any_time_test_holds_under_constant_peeking_and_after_the_horizon():
    rng = np.random.default_rng(2)
    n = np.arange(1, 4_001)
    gap = rng.normal(0, np.sqrt(2), (600, 4_000)).cumsum(1) / n
    z = gap / np.sqrt(2 / n)
    for planned in (2_000, None):
        rejected = (np.abs(z) >= sequential.threshold_any_time(n, planned)).any(axis=1).mean()
        assert rejected <= 0.05 + 3 * (0.0475 / 600) ** 0.5
    naive = (np.abs(z) >= 1.96)[:, 30:].any(axis=1).mean()
    assert naive > 0.25


def test_a_planned_horizon_buys_power():
    with_plan = float(sequential.threshold_any_time(5_000, 5_000))
    without = float(sequential.threshold_any_time(5_000, None))
    assert with_plan < 2.35 < 2.9 < without


def test_any_time_p_agrees_with_the_threshold():
    edge = float(sequential.threshold_any_time(800, 2_000, 0.05))
    assert sequential.any_time_p(edge * 1.0001, 800, 2_000) == pytest.approx(0.05, rel=0.01)
    assert sequential.any_time_p(0.1, 800, 2_000) == 1.0
    low, high = sequential.any_time(0.5, 0.1, 800, 2_000)
    assert (low + high) / 2 == pytest.approx(0.5)
    assert (high - low) / 2 == pytest.approx(edge * 0.1)


def test_planned_boundaries_match_the_published_tables():
    # Lan-DeMets spending, five equal looks, two-sided .05 (ldbounds / WinLD output).
    looks = [0.2, 0.4, 0.6, 0.8, 1.0]
    assert sequential.planned_boundaries(looks) == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-3)
    assert sequential.planned_boundaries(looks, kind="pocock") == pytest.approx(
        [2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=2e-3
    )
    assert sequential.planned_boundaries([1.0]) == pytest.approx([1.959964], abs=1e-6)
    with pytest.raises(ValueError, match="rise"):
        sequential.planned_boundaries([0.5, 0.4])
    with pytest.raises(ValueError, match="spending"):
        sequential.planned_boundaries([1.0], kind="bonferroni")


def test_sample_ratio_equals_scipy():
    counts = np.array([[5_020, 4_980], [5_300, 4_700], [0, 0]])
    p = ratio.srm_p_value(counts, [1, 1])
    assert p[0] == pytest.approx(stats.chisquare(counts[0]).pvalue, rel=1e-9)
    assert p[1] == pytest.approx(stats.chisquare(counts[1]).pvalue, rel=1e-9)
    assert p[2] == 1.0
    three = ratio.srm_p_value([100, 220, 290], [1, 2, 3])
    assert float(three) == pytest.approx(stats.chisquare([100, 220, 290], [610 / 6, 610 / 3, 305]).pvalue, rel=1e-9)


def test_cuped_keeps_the_mean_and_shrinks_the_variance():
    rng = np.random.default_rng(5)
    before = rng.normal(10, 3, 4_000)
    after = before + rng.normal(0, 1, 4_000)
    adjusted = adjust.cuped(after, before)
    assert adjusted.mean() == pytest.approx(after.mean())
    assert adjusted.var() < 0.15 * after.var()
    np.testing.assert_array_equal(adjust.cuped(after, np.ones(4_000)), after)
    with pytest.raises(ValueError, match="shape"):
        adjust.cuped([1.0], [1.0, 2.0])


def test_holm_equals_statsmodels():
    p = [0.01, 0.04, 0.03, 0.005, 0.9, 0.2]
    np.testing.assert_allclose(adjust.holm(p), multipletests(p, method="holm")[1])
