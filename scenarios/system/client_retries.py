"""An SDK retries five times on top of the gateway's own tries."""

import contextlib

from hapenny.core.errors import Failure
from hapenny.simulation.faults import Fault
from scenarios.scene import NO_CACHE, Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.6",
    title="Client retries multiply ours",
    happens="During an outage an SDK with five retries stands in front of a gateway with three tries: fifteen calls "
    "for one question.",
    does="The retry budget caps tries as a share of all calls, and an open breaker answers at once without a "
    "call: the provider sees little more than what the clients sent.",
    sees='`hapenny_calls_total{purpose="retry"}`, the breaker\'s state on the throughput page.',
    act="Set the SDK's retries to 0 or 1: the gateway does it better.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="Calls and requests are about equal.",
    without={
        "stages": {
            "throughput": {"retry_share": 1.0, "retry": {"tries": 5}, "breaker": {"failures": 1000, "sample": 1000}}
        }
    },
)


async def run(scene: Scene) -> None:
    outage = [Fault(kind="unavailable", share=1.0)]
    async with scene.open(NO_CACHE, faults=outage):
        sent = 0
        for number in range(40):
            for _ in range(5):  # the SDK's retries
                sent += 1
                with contextlib.suppress(Failure):
                    await scene.ask(f"What is volume {number} about?", max_tokens=40)
                await scene.clock.sleep(0.2)
        assert scene.provider.calls < 1.2 * sent
