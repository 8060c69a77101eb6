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
)


async def run(scene: Scene) -> None:
    steps = 144  # of ten minutes: a day
    forecast = DayForecast(step_s=600.0)

    def usual(step: int) -> float:
        return 1_000.0 + 900.0 * math.sin(2 * math.pi * (step % steps) / steps) + scene.random.uniform(-20, 20)

    for step in range(10 * steps):
        forecast.observe(usual(step))
    assert forecast.beats_last
    level = 1_000.0
    for _ in range(2 * steps):  # a holiday and the day after: a slow random walk
        level = max(10.0, level + scene.random.uniform(-8, 8))
        forecast.observe(level)
    assert not forecast.beats_last
