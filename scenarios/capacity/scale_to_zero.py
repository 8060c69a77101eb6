"""Own servers sleep at night and need two minutes to start."""

from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.faults import Fault
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.3",
    title="Scale-to-zero meets the morning's first calls",
    happens="Nobody asks at night, and the own servers are scaled to zero. At seven the first shoppers come; a "
    "server needs two minutes.",
    does="While nothing of one's own answers, calls spill over to on demand at once; as soon as a server is up "
    "the cheaper place carries them again.",
    sees="`hapenny_calls_total{place=…}`, the capacity page: what spilled, and what it cost.",
    act="A scheduled start before seven where the spill costs more than the server.",
    without={
        "stages": {
            "throughput": {
                "models": {
                    "anthropic.claude-3-sonnet-20240229-v1:0": {"endpoints": [{"name": "unit", "region": "us-west-2"}]}
                }
            }
        }
    },
)
STRONG = MANGA_2024.of_tier("strong")
assert STRONG is not None
OWN = {"name": "own", "region": "us-west-2", "cost_factor": 1.0}
ON_DEMAND = {"name": "spill", "region": "us-east-1", "cost_factor": 3.0}
PLACES = {
    "routes": {"default": {"stages": {"exact": "off", "flights": "off"}}},
    "stages": {"throughput": {"models": {STRONG.id: {"endpoints": [OWN, ON_DEMAND]}}}},
}


async def run(scene: Scene) -> None:
    asleep = [Fault(kind="unavailable", share=1.0, regions=("us-west-2",), end=120.0)]
    async with scene.open(PLACES, faults=asleep):
        served: list[tuple[float, str]] = []
        for number in range(180):
            began = scene.clock.now()
            _, exchange = await scene.ask(f"What is volume {number} about?", max_tokens=40)
            row = await scene.row(exchange)
            served.append((began, next(call for call in row.calls if call.adopted).region))
            assert scene.clock.now() - began < 10
            await scene.clock.sleep(max(0.0, number + 1 - scene.clock.now()))
        assert {region for when, region in served if when < 110} == {"us-east-1"}
        assert served[-1][1] == "us-west-2"
