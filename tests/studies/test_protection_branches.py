"""One run that goes on in several ways gives each the result it would have had alone."""

from __future__ import annotations

import pytest
from benchmarks.protection.branches import Branches

from hapenny.simulation import loop
from hapenny.simulation.loop import VirtualClock


def play(names: list[str]) -> dict[str, tuple[str, list[float]]]:
    branches: Branches[tuple[str, list[float]]] = Branches(names)

    async def main(clock: VirtualClock) -> tuple[str, list[float]]:
        times = []
        for step in range(4):
            await clock.sleep(1 + clock.random.random())
            times.append(clock.now())
            if step == 1:
                way = branches.split()
        if way == "broken":
            raise RuntimeError("this way ends badly")
        await clock.sleep(float(len(way)))
        return way, [*times, clock.now()]

    return dict(branches.results(lambda: loop.run(main, seed=3)))


def test_each_way_ends_as_it_would_have_ended_alone() -> None:
    together = play(["one", "other", "third"])
    assert together == play(["one"]) | play(["other"]) | play(["third"])
    assert together["one"] != together["third"]


def test_a_way_that_fails_fails_the_run() -> None:
    with pytest.raises(RuntimeError, match="'broken' came to no end"):
        play(["broken", "other"])
