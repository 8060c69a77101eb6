"""More requests come than the quota serves, and a queue forms."""

import asyncio

from hapenny.core.errors import Failure
from hapenny.simulation.provider import Limit
from scenarios.scene import NO_CACHE, STRONG, Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.3",
    title="A queue backlog",
    happens="A newsletter sends three hundred shoppers within a minute; the quota serves a hundred a minute.",
    does="Requests wait only as long as they can still be answered in time. Who cannot is told at once, with the "
    "time to come back; nobody waits for nothing.",
    sees="`hapenny capacity`, 429 with `Retry-After` in the access log, the throughput page.",
    act="Raise the quota, or let the newsletter go out in portions.",
    check="hapenny capacity -c hapenny.yaml",
    proof="Nobody waited longer than the patience, and refusals have ended.",
    without={"stages": {"throughput": {"models": {STRONG: {"quota": {"requests_per_minute": None}}}}}},
)
BOUNDED = {
    "stages": {
        "throughput": {
            "gate": {"patience_s": 3},
            "models": {STRONG: {"quota": {"requests_per_minute": 100}}},
        }
    },
    **NO_CACHE,
}


async def run(scene: Scene) -> None:
    async with scene.open(BOUNDED, quotas={"*": Limit(100, None)}):
        waits: list[float] = []
        refused: list[Failure] = []

        async def one(number: int) -> None:
            started = scene.clock.now()
            try:
                await scene.ask(f"What is volume {number} about?")
            except Failure as failure:
                refused.append(failure)
                waits.append(scene.clock.now() - started)

        await asyncio.gather(*(one(number) for number in range(300)))
        assert refused
        assert all(failure.status == 429 and failure.retry_after for failure in refused)
        assert max(waits) < 1.0
        assert len(refused) <= 200
