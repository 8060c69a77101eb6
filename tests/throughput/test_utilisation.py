"""The running gateway's use of its places: figures, metrics, and alerts before a quota is used up."""

import asyncio

import pytest

from hapenny.core.exchange import Target
from hapenny.simulation import loop
from hapenny.stores.counters import MemoryCounters
from hapenny.telemetry.alerts import AlertOptions, Alerts
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.throughput.gate import CallOutcome
from hapenny.throughput.options import ModelOptions, ThroughputOptions
from hapenny.throughput.pools import QuotaSpec, Used
from hapenny.throughput.queue import Job
from hapenny.throughput.utilisation import UtilisationWatch

MODEL = Target("model", "bedrock", "us-east-1")


def watched(clock, per_minute=60_000):
    quota = QuotaSpec(tokens_per_minute=per_minute, output_burndown=5)
    options = ThroughputOptions(models={"model": ModelOptions(quota=quota)})
    routes = Dispatchers(options, MemoryCounters(clock), clock)
    booked = []
    alerts = Alerts(AlertOptions(), clock, book=booked.append)
    return routes.of(MODEL).dispatcher.gate, UtilisationWatch(routes, alerts, clock), booked


async def call(gate, clock, seconds=2.0, output=100):
    leave = await gate.enter(Job(input_tokens=500, max_tokens=output, begin_by=clock.now() + 60))
    leave.begun()
    await clock.sleep(seconds)
    leave.done(CallOutcome.OK, Used(500, output))


def kinds(booked):
    return [entry.detail["alert"] for entry in booked]


def test_use_calls_in_flight_and_littles_law_are_counted():
    async def main(clock):
        gate, watch, booked = watched(clock)
        watching = asyncio.create_task(watch.run())
        calls = []
        for _ in range(16 * 20):  # one call in three seconds, of two seconds each
            calls.append(asyncio.create_task(call(gate, clock)))
            await clock.sleep(3.0)
        (row,) = watch.view()
        watching.cancel()
        await asyncio.gather(*calls)
        return row, {series.name: series.series for series in watch.series()}, booked

    row, series, booked = loop.run(main)
    assert row["tokens_a_minute"] == 20 * 1_000
    assert row["used"] == pytest.approx(1 / 3, abs=0.01)
    assert row["little"]["seen"] == pytest.approx(2 / 3, rel=0.05)
    assert row["little"]["expected"] == pytest.approx(2 / 3, rel=0.05)
    assert series["hapenny_quota_used_ratio"]["model", "us-east-1"] == pytest.approx(1 / 3, abs=0.01)
    assert "hapenny_in_flight_tokens" in series
    assert booked == []


def test_tokens_of_calls_under_way_are_held_and_given_back():
    async def main(clock):
        gate, watch, _ = watched(clock)
        calls = [asyncio.create_task(call(gate, clock, seconds=90)) for _ in range(3)]
        await clock.sleep(60)
        watch.look()
        (busy,) = watch.view()
        await asyncio.gather(*calls)
        await clock.sleep(30)
        watch.look()
        (idle,) = watch.view()
        return busy, idle

    busy, idle = loop.run(main)
    assert (busy["in_flight"], busy["in_flight_tokens"]) == (3, 1_800)
    assert (idle["in_flight"], idle["in_flight_tokens"]) == (0, 0)


def test_a_quota_that_is_nearly_full_is_told_once_and_once_more_when_it_is_over():
    async def main(clock):
        gate, watch, booked = watched(clock)
        for minute in range(12):
            for _ in range(57 if 3 <= minute < 8 else 10):
                await call(gate, clock, seconds=0.01)
            await clock.sleep(60 * (minute + 1) - clock.now())
            watch.look()
        return kinds(booked)

    told = loop.run(main)
    assert told.count("quota_near") == 1
    assert told.count("quota_near_over") == 1


def test_a_quota_that_will_be_full_soon_is_told_before_it_is():
    async def main(clock):
        gate, watch, booked = watched(clock)
        for minute in range(25):
            for _ in range(10 + minute):
                await call(gate, clock, seconds=0.01)
            await clock.sleep(60 * (minute + 1) - clock.now())
            watch.look()
        return booked, watch.view()[0]

    booked, row = loop.run(main)
    assert kinds(booked) == ["quota_runs_out"]
    assert 0 < booked[0].detail["in_s"] <= 1_800
    assert "points over" in booked[0].detail["stands_on"]
    assert row["runs_out_in_s"] == pytest.approx(60 * 26, rel=0.1)


def test_a_place_that_is_never_given_back_is_told():
    async def main(clock):
        gate, watch, booked = watched(clock)
        await gate.enter(Job(input_tokens=500, max_tokens=100, begin_by=clock.now() + 60))
        for minute in range(20):
            await call(gate, clock)
            await clock.sleep(60 * (minute + 1) - clock.now())
            watch.look()
        return booked

    booked = loop.run(main)
    assert kinds(booked) == ["in_flight_unexplained"]
    assert booked[0].detail["in_flight"] > booked[0].detail["explained"] + 0.9
