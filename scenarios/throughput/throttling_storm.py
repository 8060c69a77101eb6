"""The provider refuses half of all calls for a minute."""

import asyncio

from hapenny.core.errors import Failure
from hapenny.simulation.faults import Fault
from scenarios.scene import NO_CACHE, STRONG, Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.3",
    title="A throttling storm",
    happens="For sixty seconds every second call of the strong model comes back with 429, on a busy morning.",
    does="Refused calls wait with jitter and are tried again within the retry budget; what cannot begin in time "
    "goes to the fallback, which is always on. The storm costs seconds, not answers, and it is over when it "
    "is over.",
    sees='`hapenny_calls_total{purpose="retry"}`, notes of the fallback on answers, the throughput page.',
    act="Nothing during the storm. If storms come daily: ask for more quota (`hapenny plan` says how much).",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="Retries are back at their usual share, and the strong model answers again.",
    without={"fallbacks": {"strong": []}},
)
FALLING_BACK = {
    "fallbacks": {"strong": ["fast"]},
    **NO_CACHE,
}


async def run(scene: Scene) -> None:
    storm = [Fault(kind="throttle", share=0.5, models=(STRONG,), begin=10.0, end=70.0)]
    async with scene.open(FALLING_BACK, faults=storm):
        answered: list[str] = []
        failed: list[Failure] = []

        async def one(number: int) -> None:
            await scene.clock.sleep(number)
            try:
                _, exchange = await scene.ask(f"What is volume {number} about?")
                answered.append((await scene.row(exchange)).model_served)
            except Failure as failure:
                failed.append(failure)

        await asyncio.gather(*(one(number) for number in range(120)))
        assert len(failed) <= 2
        assert len(set(answered)) == 2
        _, exchange = await scene.ask("And now?")
        assert (await scene.row(exchange)).model_served == STRONG
