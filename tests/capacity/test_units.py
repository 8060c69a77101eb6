"""How many units pay, against counting by hand and against hindsight."""

import math

import pytest

from hapenny.capacity.units import Demand, Growth, Tariff, choose, growth
from hapenny.simulation.workload.trace import Arrival

TARIFF = Tariff(
    input_usd=3.0, output_usd=15.0, unit_tokens_per_s=1_000, unit_usd_per_h=5.0, burndown=5.0, window_s=60.0
)
SURE = Growth(0.0, 0.01)


def steady(per_s=4, seconds=600, size=500):
    return [Arrival(number / per_s, size, 0) for number in range(per_s * seconds)]


def test_enough_units_spill_nothing_and_none_spill_everything():
    demand = Demand(steady(), TARIFF)  # 2,000 weighted tokens a second
    assert demand.spill(3) == (0.0, 0.0)
    assert demand.spill(0)[1] == 1.0
    dollars, share = demand.spill(1)
    assert share == pytest.approx(0.5, abs=0.06)  # half, less what the full bucket carried at first
    assert dollars == pytest.approx(share * demand.spill(0)[0], rel=0.01)


def test_a_minutes_bucket_carries_bursts_that_a_seconds_cannot():
    bursts = [Arrival(60.0 * minute + 0.001 * each, 1_000, 0) for minute in range(10) for each in range(50)]
    by_minute = Demand(bursts, TARIFF).spill(1)[1]
    by_second = Demand(bursts, Tariff(**{f: getattr(TARIFF, f) for f in TARIFF.__struct_fields__ if f != "window_s"},
                                      window_s=1.0)).spill(1)[1]  # fmt: skip
    assert by_minute < 0.05
    assert by_second > 0.9


def test_what_a_cache_read_weighs_nothing():
    cached = [Arrival(each.at, each.input, 0, cached=each.input) for each in steady()]
    assert Demand(cached, TARIFF).per_s == 0


def test_units_are_bought_as_far_as_they_pay():
    demand = Demand(steady(), TARIFF)  # by the token: 21.60 $ an hour; two units carry all of it for 10
    best = min(choose(demand, SURE), key=lambda each: each.usd_per_h)
    assert best.units == 2
    assert best.usd_per_h == pytest.approx(10.0, rel=0.05)
    dear = Demand(steady(), Tariff(input_usd=3.0, output_usd=15.0, unit_tokens_per_s=1_000, unit_usd_per_h=50.0))
    assert min(choose(dear, SURE), key=lambda each: each.usd_per_h).units == 0


def test_traffic_that_grows_is_planned_for():
    growing = [Arrival(at, 500, 0) for at in sorted(60 * math.sqrt(number) for number in range(3_000))]
    assert growth(Demand(growing, TARIFF)).mean > 0.2
    assert abs(growth(Demand(steady(), TARIFF)).mean) < 0.05
    now = min(choose(Demand(steady(), TARIFF), SURE), key=lambda each: each.usd_per_h).units
    later = min(choose(Demand(steady(), TARIFF), Growth(math.log(1.6), 0.05)), key=lambda each: each.usd_per_h).units
    assert later > now


def test_the_less_is_known_of_the_rate_the_wider_the_interval():
    demand = Demand(steady(), TARIFF)
    for one, other in zip(choose(demand, SURE, 2), choose(demand, Growth(0.0, 0.4), 2), strict=True):
        assert one.low <= one.high
        assert other.low <= one.low
        assert other.high >= one.high
    assert choose(demand, Growth(0.0, 0.4), 0)[0].high > 1.2 * choose(demand, SURE, 0)[0].high


def test_what_falls_at_night_is_no_trend():
    """Traffic with a day's cycle: neither half a day of it nor four whole days say that it shrinks."""

    def cycle(hours, factor=1.0):
        at, rows = 0.0, []
        while at < hours * 3_600:
            level = factor ** (at / 86_400) * (1 + 0.8 * math.cos(2 * math.pi * at / 86_400))
            at += 30 / max(level, 0.05)
            rows.append(Arrival(at, 500, 0))
        return growth(Demand(rows, TARIFF))

    half_a_day = cycle(12)
    assert half_a_day.mean == 0
    assert half_a_day.spread > 0.3
    assert abs(cycle(96).mean) < 0.05
    assert cycle(96, 1.5).mean > 0.15
