"""Throughput that is paid by the hour answers no more."""

from hapenny.core.errors import Failure
from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.faults import Fault
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.3",
    title="A provisioned unit is lost",
    happens="The provisioned model's ARN answers 503 since three o'clock. It is paid by the hour whether it answers "
    "or not.",
    does="Calls spill to on demand in the same region while its breaker is open; a probe finds out when it is "
    "back. The report shows the capacity's cost beside what it carried.",
    sees="`hapenny_calls_total{place=…}`, capacity rows in the report, health `degraded`.",
    act="Open a case with the provider; delete the unit if it stays away.",
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
UNIT = {"name": "unit", "region": "us-west-2", "cost_factor": 1.0}
SPILL = {"name": "spill", "region": "us-east-1", "cost_factor": 3.0}
PLACES = {
    "routes": {"default": {"stages": {"exact": "off", "flights": "off"}}},
    "stages": {"throughput": {"models": {STRONG.id: {"endpoints": [UNIT, SPILL]}}}},
}


async def run(scene: Scene) -> None:
    down = [Fault(kind="unavailable", share=1.0, regions=("us-west-2",), begin=20.0, end=80.0)]
    async with scene.open(PLACES, faults=down):
        failed = 0
        served: list[tuple[float, str]] = []
        for number in range(120):
            started = scene.clock.now()
            try:
                _, exchange = await scene.ask(f"What is volume {number} about?", max_tokens=40)
                row = await scene.row(exchange)
                served.append((started, next(call for call in row.calls if call.adopted).region))
            except Failure:
                failed += 1
            await scene.clock.sleep(max(0.0, number + 1 - scene.clock.now()))
        assert failed == 0
        assert {region for when, region in served if when < 19} == {"us-west-2"}
        assert [region for when, region in served if 30 < when < 75].count("us-east-1") >= 30
        assert served[-1][1] == "us-west-2"
