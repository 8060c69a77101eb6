"""The provider ends a stream with an error after half of the answer."""

import pytest

from hapenny.core.errors import Failure
from hapenny.simulation.faults import Fault
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.3",
    title="A throttle in mid-stream",
    happens="A stream breaks with an error event when half of the answer is out.",
    does="What was not shown yet is asked again elsewhere; what was shown is never repeated or glued: a whole "
    "answer is retried, a stream that has begun ends with an error in the client's protocol. Nothing of it "
    "is cached, and the books count what the provider bills.",
    sees="The row's outcome, `hapenny_calls_total{outcome=…}`.",
    act="Nothing; a fallback model shortens it.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="Streams that broke are rows with an error, and none of them was served from a cache.",
    without={"stages": {"throughput": {"retry": {"tries": 1}}}},
)


async def run(scene: Scene) -> None:
    async with scene.open(faults=[Fault(kind="exception", share=1.0, end=1.6)]):
        with pytest.raises(Failure):
            await scene.ask("What is volume 3 about?", stream=True, max_tokens=50)
        text, whole = await scene.ask("What is volume 4 about?", max_tokens=50)  # nothing of it was shown yet
        assert text
        assert len(whole.calls) > 1
        await scene.clock.sleep(5)
        _, exchange = await scene.ask("What is volume 3 about?", stream=True, max_tokens=50)
        assert exchange.cache is None or not exchange.cache.hit
        row = await scene.row(exchange)
        assert row.outcome == "delivered"
