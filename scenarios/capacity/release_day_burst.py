"""Volume 100 comes out, and ten times as many shoppers come within minutes."""

import asyncio

from hapenny.core.errors import Failure
from hapenny.simulation.provider import Limit
from scenarios.scene import NO_CACHE, Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.3",
    title="A release-day burst of ten times",
    happens="At ten o'clock volume 100 is released. Half of all questions are the same five.",
    does="Equal questions are answered once; the rest shares the quota, and what can wait goes behind what "
    "cannot. Calls to the provider grow far less than the questions.",
    sees="`hapenny_cache_requests_total`, quota use on the console, the report's lines `exact` and `flights`.",
    act="Before: `hapenny plan` with the burst; pre-compute what will be asked. During: nothing.",
    check="hapenny capacity -c hapenny.yaml",
    proof="No request was refused during the burst; calls grew far less than questions.",
    without=NO_CACHE,
)


async def run(scene: Scene) -> None:
    popular = [f"What is volume 100 about, part {part}?" for part in range(5)]
    async with scene.open(quotas={"*": Limit(600, None)}):
        failed = 0

        async def one(number: int) -> None:
            nonlocal failed
            await scene.clock.sleep(scene.random.uniform(0, 60))
            text = scene.random.choice(popular) if number % 10 < 7 else f"Where is order {number}?"
            try:
                await scene.ask(text)
            except Failure:
                failed += 1

        await asyncio.gather(*(one(number) for number in range(1_000)))
        assert failed == 0
        assert scene.provider.calls < 400
