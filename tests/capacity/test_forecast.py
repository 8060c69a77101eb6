"""A forecast speaks only where it has been better than the last value."""

import math
import random

from benchmarks.scaling.forecast import errors

from hapenny.capacity.forecast import DayForecast


def test_a_strong_day_is_learnt():
    rng = random.Random(3)
    values = [100 + 60 * math.sin(2 * math.pi * step / 144) + rng.gauss(0, 1) for step in range(144 * 5)]
    ours, last, spoken = errors(values)
    assert ours / last < 0.97
    assert spoken > 144


def test_a_random_walk_is_left_to_the_last_value():
    rng = random.Random(4)
    values, level = [], 100.0
    for _ in range(144 * 6):
        level = max(10.0, level + rng.gauss(0, 3))
        values.append(level)
    ours, last, _ = errors(values)
    assert ours / last < 1.01


def test_nothing_is_said_on_the_first_day():
    forecast = DayForecast()
    for step in range(144):
        forecast.observe(float(step % 7))
        assert forecast.next() is None
        assert not forecast.beats_last
