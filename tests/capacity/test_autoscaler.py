"""The scaling controller follows work, keeps headroom as bursts need it, and takes servers away late."""

import pytest

from hapenny.capacity.autoscaler import Autoscaler, ScalerOptions

OPTIONS = ScalerOptions(work_per_s=1_000.0, start_s=120.0, target=1.0, output_weight=5.0, output_tokens=100.0)


def drive(scaler, loads, tick=10.0, start=0.0, running=1, answers=100):
    """Feeds weighted tokens a second, a value a tick; what was wanted after each."""
    wanted = []
    for number, load in enumerate(loads):
        now = start + number * tick
        decision = scaler.wants(now, 0.0, running)
        running = decision.servers
        wanted.append(running)
        requests = round(load * tick / (500 + 5 * answers))
        for _ in range(requests):
            scaler.arrived(500)
            scaler.answered(answers)
    return wanted


def test_a_steady_load_gets_little_more_than_it_needs():
    wanted = drive(Autoscaler(OPTIONS), [5_000.0] * 360)
    assert wanted[-1] in (5, 6)


def test_longer_answers_want_more_servers_at_the_same_requests():
    short = drive(Autoscaler(OPTIONS), [5_000.0] * 360)[-1]
    scaler = Autoscaler(OPTIONS)
    for number in range(360):
        scaler.wants(number * 10.0, 0.0, 1)
        for _ in range(50):
            scaler.arrived(500)
            scaler.answered(300)
    assert scaler.wants(3_600.0).servers >= 1.8 * short


def test_bursts_that_were_measured_are_kept_headroom_for():
    calm = drive(Autoscaler(OPTIONS), [4_000.0] * 720)
    bursty = drive(Autoscaler(OPTIONS), ([3_000.0] * 30 + [12_000.0] * 6) * 20)
    assert bursty[-40] >= 8 > calm[-1]


def test_where_work_may_spill_rare_bursts_are_let_spill():
    spill = ScalerOptions(**{**{f: getattr(OPTIONS, f) for f in OPTIONS.__struct_fields__}, "spill_price": 3.0})
    loads = ([3_000.0] * 34 + [12_000.0] * 2) * 20
    assert drive(Autoscaler(spill), loads)[-1] < drive(Autoscaler(OPTIONS), loads)[-1]


def test_more_at_once_fewer_only_after_it_has_been_calm():
    scaler = Autoscaler(OPTIONS)
    wanted = drive(scaler, [2_000.0] * 120 + [8_000.0] * 60 + [2_000.0] * 120)
    up = next(place for place, count in enumerate(wanted) if place > 120 and count >= 7)
    assert (up - 120) * 10 <= 180
    gone = next(place for place, count in enumerate(wanted) if place > 190 and count < max(wanted))
    assert (gone - 180) * 10 >= OPTIONS.calm


def test_nothing_is_taken_away_before_anything_is_known():
    assert Autoscaler(OPTIONS).wants(0.0, 0.0, 7).servers == 7


def test_what_waits_inside_wants_more():
    loads = [5_000.0] * 200
    scaler = Autoscaler(OPTIONS)
    drive(scaler, loads)
    now = len(loads) * 10.0
    without = scaler.wants(now, 0.0, 6).servers
    assert scaler.wants(now, 3 * 120.0 * 1_000, 6).servers == without + 3


def test_a_forecast_only_raises():
    low = Autoscaler(OPTIONS, forecast=lambda ahead: 100.0)
    high = Autoscaler(OPTIONS, forecast=lambda ahead: 20_000.0)
    none = Autoscaler(OPTIONS, forecast=lambda ahead: None)
    loads = [5_000.0] * 200
    assert drive(low, loads)[-1] == drive(none, loads)[-1]
    assert drive(high, loads)[-1] >= 20


def test_bounds_hold():
    options = ScalerOptions(work_per_s=1_000.0, least=2, most=4)
    assert drive(Autoscaler(options), [0.0] * 300)[-1] == 2
    assert drive(Autoscaler(options), [50_000.0] * 100)[-1] == 4


@pytest.mark.parametrize("gap", [0.0, -5.0])
def test_a_tick_without_time_changes_nothing(gap):
    scaler = Autoscaler(OPTIONS)
    drive(scaler, [5_000.0] * 200)
    before = scaler.wants(2_000.0, 0.0, 6).servers
    assert scaler.wants(2_000.0 + gap, 0.0, 6).servers == before
