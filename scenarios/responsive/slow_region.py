"""One region takes five times as long for a first token."""

from hapenny.simulation.faults import Fault
from scenarios.scene import STRONG, Scenario, Scene, modes

SCENARIO = Scenario(
    skill="4.2.1",
    title="A slow first token in one region",
    happens="Since this morning the first token from us-east-1 takes three seconds. us-west-2 is as fast as ever.",
    does="Times to first token are measured by model, region and tier, and decay: requests go where they will be "
    "in time, and what is late already is raced.",
    sees="The ledger's `reactions`, `Server-Timing`, the latency page of the console.",
    act="Nothing; look at the provider's status page.",
    check="hapenny profile -c hapenny.yaml --since 24h",
    proof="First tokens are as quick as before; calls carry the other region.",
    without=modes(latency="off"),
)
CONFIG = {
    **modes(exact="off", flights="off", latency="on"),
    "stages": {
        "latency": {"deadline_s": 4},
        "throughput": {
            "models": {
                STRONG: {
                    "endpoints": [{"name": "east", "region": "us-east-1"}, {"name": "west", "region": "us-west-2"}]
                }
            }
        },
    },
}


async def run(scene: Scene) -> None:
    slow = [Fault(kind="slow", factor=5, regions=("us-east-1",))]
    async with scene.open(CONFIG, faults=slow):
        rows = []
        for number in range(40):
            _, exchange = await scene.ask(f"What is in volume {number}?", stream=True, max_tokens=600)
            rows.append(await scene.row(exchange))
        late = rows[10:]
        west = [next(call for call in row.calls if call.adopted).region == "us-west-2" for row in late]
        assert sum(west) > 0.9 * len(late)
        assert any("other_region" in row.reactions for row in late)
