"""A forecast learnt on weekdays foresees a Monday on a holiday."""

import math

from hapenny.capacity.forecast import DayForecast
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.5",
    title="The forecast is wrong",
    happens="Traffic has followed the clock for two weeks. Then comes a holiday that looks like no other day, and "
    "servers would be started for nobody.",
    does="A forecast may only raise what is wanted, and only while over the past day it has erred clearly less "
    "than the last value. On a day that is unlike the others it falls silent, and what arrives decides.",
    sees="`hapenny autoscale --dry-run` says why it wants what it wants (“forecast …” or the level).",
    act="Nothing. For days known ahead, scheduled actions.",
    check="hapenny autoscale --dry-run --ledger ledger.db --tokens-per-s 2000",
    proof="What it wants follows what arrives; no server was started for nobody.",
    naive="The day is taken to be like yesterday, always.",
)


async def run(scene: Scene) -> None:
    steps = 144  # of ten minutes: a day
    forecast = DayForecast(step_s=600.0)

    def usual(step: int) -> float:
        return 1_000.0 + 900.0 * math.sin(2 * math.pi * (step % steps) / steps) + scene.random.uniform(-20, 20)

    for step in range(10 * steps):
        forecast.observe(usual(step))
    assert forecast.beats_last
    level, missed, last, yesterday = 1_000.0, 0.0, 0.0, [usual(step) for step in range(steps)]
    for step in range(2 * steps):  # a holiday and the day after: a slow random walk
        foreseen = yesterday[step % steps] if scene.broken else forecast.next()
        wanted = level if foreseen is None else max(level, foreseen)  # a forecast may only raise
        before, level = level, max(10.0, level + scene.random.uniform(-8, 8))
        missed, last = missed + abs(wanted - level), last + abs(before - level)
        forecast.observe(level)
    assert not forecast.beats_last
    assert missed < 3 * last
