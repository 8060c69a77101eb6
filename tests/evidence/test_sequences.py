"""Confidence sequences and monitors hold at every look at once."""

import numpy as np
import pytest

from hapenny.evidence import sequences
from hapenny.evidence.eprocess import LossMonitor


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.9])
def test_proportion_covers_at_all_looks(rate):
    rng = np.random.default_rng(11)
    runs, horizon = 150, 800
    events = np.cumsum(rng.random((runs, horizon)) < rate, axis=1)
    low, high = sequences.proportion(events, np.arange(1, horizon + 1), 0.1)
    missed = ((low > rate) | (high < rate)).any(axis=1).mean()
    assert missed <= 0.1 + 3 * (0.09 / runs) ** 0.5
    assert (high - low)[:, -1].mean() < 8 * (rate * (1 - rate) / horizon) ** 0.5


def test_proportion_before_any_data():
    low, high = sequences.proportion(0, 0)
    assert (float(low), float(high)) == (0.0, 1.0)


def test_bounded_mean_covers_at_all_looks():
    rng = np.random.default_rng(12)
    x = rng.beta(2, 8, (400, 1_000))
    low, high = sequences.bounded_mean(x, 0.1)
    assert ((low > 0.2) | (high < 0.2)).any(axis=1).mean() <= 0.1
    assert (high - low)[:, -1].mean() < 0.05
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        sequences.bounded_mean([0.5, 1.2])


def test_difference_covers_at_all_looks():
    rng = np.random.default_rng(13)
    n = np.arange(1, 2_001)
    a, b = rng.normal(0, 1, (400, 2_000)), rng.normal(0.1, 2, (400, 2_000))
    mean_a, mean_b = a.cumsum(1) / n, b.cumsum(1) / n
    var_a, var_b = (a**2).cumsum(1) / n - mean_a**2, (b**2).cumsum(1) / n - mean_b**2
    low, high = sequences.difference(mean_a, var_a, n, mean_b, var_b, n, 0.1, tuned=1_000)
    # Asymptotic: the first handful of looks has no meaning.
    assert ((low > 0.1) | (high < 0.1))[:, 30:].any(axis=1).mean() <= 0.1
    assert np.isinf(high[:, 0]).all()


def test_mixture_is_sharpest_where_it_was_tuned():
    at = np.array([100.0, 1_000.0, 10_000.0])
    for i, tuned in enumerate(at):
        values = [sequences.mixture_threshold(at[i], 0.05, other) for other in at]
        assert np.argmin(values) == i
        assert tuned == at[i]


def test_monitor_stays_quiet_when_the_promise_holds():
    rng = np.random.default_rng(14)
    alarms = 0
    for _ in range(60):
        monitor = LossMonitor(0.05, 0.1)
        alarms += any(monitor.update(float(x)) for x in rng.random(600) < 0.05)
    assert alarms / 60 <= 0.1 + 3 * (0.09 / 60) ** 0.5


def test_monitor_sees_a_late_change():
    rng = np.random.default_rng(15)
    monitor = LossMonitor(0.05, 0.05)
    for x in rng.random(3_000) < 0.01:
        monitor.update(float(x))
    assert not monitor.alarmed
    late = (rng.random(150) < 0.25).astype(float)
    assert any(monitor.update(x) for x in late)


def test_monitor_survives_a_restart():
    rng = np.random.default_rng(16)
    losses = (rng.random(400) < 0.08).astype(float)
    whole, first = LossMonitor(0.05), LossMonitor(0.05)
    for x in losses:
        whole.update(x)
    for x in losses[:170]:
        first.update(x)
    second = LossMonitor.restore(first.state())
    for x in losses[170:]:
        second.update(x)
    assert second.wealth == pytest.approx(whole.wealth)
    assert second.mean == pytest.approx(whole.mean)


def test_monitor_refuses_what_it_cannot_read():
    with pytest.raises(ValueError, match="loss"):
        LossMonitor(0.05).update(1.5)
    with pytest.raises(ValueError, match="limit"):
        LossMonitor(0.0)
