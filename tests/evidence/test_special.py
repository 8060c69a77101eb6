"""Our special functions against scipy's."""

import numpy as np
import pytest
from scipy import special, stats

from hapenny.evidence import special as ours


def test_gammaln():
    x = np.concatenate([np.geomspace(1e-6, 1e6, 200), [0.5, 1, 2, 9]])
    np.testing.assert_allclose(ours.gammaln(x), special.gammaln(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 1), (2, 700), (700, 2), (5000, 5000), (30.5, 4)])
def test_incomplete_beta_and_its_inverse(a, b):
    x = np.unique(np.clip(stats.beta(a, b).ppf(np.linspace(0.001, 0.999, 60)), 1e-9, 1 - 1e-9))
    np.testing.assert_allclose(ours.betainc(a, b, x), special.betainc(a, b, x), rtol=1e-9, atol=1e-12)
    p = np.array([1e-6, 0.001, 0.05, 0.5, 0.95, 0.999])
    np.testing.assert_allclose(ours.betaincinv(a, b, p), special.betaincinv(a, b, p), rtol=1e-8, atol=1e-12)


def test_incomplete_beta_at_the_ends():
    assert ours.betainc(2, 3, 0.0) == 0
    assert ours.betainc(2, 3, 1.0) == 1


@pytest.mark.parametrize("df", [1, 2, 5, 40])
def test_chi_squared(df):
    x = np.linspace(0, 90, 200)
    np.testing.assert_allclose(ours.chi2_sf(x, df), stats.chi2.sf(x, df), rtol=1e-9, atol=1e-300)


def test_normal():
    x = np.linspace(-30, 8, 500)
    np.testing.assert_allclose(ours.normal_cdf(x), stats.norm.cdf(x), rtol=1e-12)
    assert ours.normal_ppf(0.975) == pytest.approx(stats.norm.ppf(0.975), abs=1e-13)


@pytest.mark.parametrize("df", [1, 3.7, 30, 5000])
def test_student(df):
    t = np.linspace(-12, 12, 97)
    np.testing.assert_allclose(ours.student_sf(t, df), stats.t.sf(t, df), rtol=1e-8, atol=1e-14)
    for p in (0.001, 0.3, 0.5, 0.975):
        assert ours.student_ppf(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-8, abs=1e-12)
