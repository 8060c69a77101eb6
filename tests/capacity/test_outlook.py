"""When a limit is reached at the present trend, and when nothing can be said."""

import random

import pytest

from hapenny.capacity.outlook import REACH, outlook

HOUR = 3_600.0
DAY = 24 * HOUR


def test_a_steady_rise_says_when():
    points = [(day * DAY, 100_000 + 5_000 * day) for day in range(14)]
    made = outlook(points, 200_000)
    assert made.runs_out_in_s == pytest.approx(7 * DAY)
    assert made.soonest_s <= made.runs_out_in_s <= made.latest_s
    assert "14 points over 13.0 days" in made.stands_on
    assert "hour of the day" not in made.stands_on


def test_noise_without_a_trend_has_no_date():
    unsure = 0
    for seed in range(100):
        dice = random.Random(seed)
        made = outlook([(day * DAY, 100_000 * dice.uniform(0.8, 1.2)) for day in range(30)], 200_000)
        assert made.runs_out_in_s is None or made.runs_out_in_s > 60 * DAY
        unsure += "no sure rise" in made.stands_on
    assert unsure >= 80  # one side of an 80 % interval lets one in ten through


def test_spikes_do_not_move_it():
    points = [(day * DAY, 100_000 + 5_000 * day) for day in range(14)]
    points[5] = (5 * DAY, 900_000)
    assert outlook(points, 200_000).runs_out_in_s == pytest.approx(7 * DAY, rel=0.05)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(100):
        dice = random.Random(seed)
        points = [(day * DAY, 100_000 + 4_000 * day + dice.gauss(0, 6_000)) for day in range(20)]
        made = outlook(points, 240_000)
        true = (240_000 - (100_000 + 4_000 * 19)) / 4_000 * DAY
        held += made.soonest_s is not None and made.soonest_s <= true <= (made.latest_s or 1e12)
    assert held >= 65  # the level is uncertain as well as the slope


def test_too_few_points_short_logs_and_far_away_limits_are_said():
    assert outlook([(0, 1.0), (60, 2.0)], 10).stands_on.startswith("2 points")
    assert outlook([], 10).runs_out_in_s is None
    short = outlook([(hour * HOUR, 100 + hour) for hour in range(10)], 115)
    assert short.runs_out_in_s == pytest.approx(6 * HOUR)
    assert "hour of the day" in short.stands_on
    assert outlook([(hour * HOUR, 100 + hour) for hour in range(10)], 120 + REACH * 10).runs_out_in_s is None


def test_a_limit_that_is_reached_is_reached_now():
    assert outlook([(hour * HOUR, 100.0 + hour) for hour in range(10)], 105).runs_out_in_s == 0.0
