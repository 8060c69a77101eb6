"""Two places for the strong model, the first the cheaper one: which of them answers, second by second."""

from __future__ import annotations

from typing import NamedTuple

from hapenny.simulation.faults import Fault
from scenarios.scene import NO_CACHE, STRONG, Scene

FIRST, SECOND = "us-west-2", "us-east-1"
"""Regions of the two."""


class Served(NamedTuple):
    """A question that was answered."""

    at: float
    """When it was asked, seconds."""
    seconds: float
    """How long it took."""
    region: str
    """Who answered."""


def places(*endpoints: dict[str, object]) -> dict[str, object]:
    """A configuration with these endpoints of the strong model."""
    return {"stages": {"throughput": {"models": {STRONG: {"endpoints": list(endpoints)}}}}}


ALONE = places({"name": "unit", "region": FIRST})
"""Nothing to spill to."""
BOTH = NO_CACHE | places(
    {"name": "unit", "region": FIRST, "cost_factor": 1.0}, {"name": "spill", "region": SECOND, "cost_factor": 3.0}
)


async def served(scene: Scene, questions: int, *, begin: float = 0.0, end: float) -> list[Served]:
    """Asks a question a second, while the first place is unavailable from `begin` to `end`. Raises `Failure` where one
    is not answered."""
    answers = []
    down = [Fault(kind="unavailable", share=1.0, regions=(FIRST,), begin=begin, end=end)]
    async with scene.open(BOTH, faults=down):
        for number in range(questions):
            began = scene.clock.now()
            _, exchange = await scene.ask(f"What is volume {number} about?", max_tokens=40)
            row = await scene.row(exchange)
            region = next(call for call in row.calls if call.adopted).region
            answers.append(Served(began, scene.clock.now() - began, region))
            await scene.clock.sleep(max(0.0, number + 1 - scene.clock.now()))
    return answers
