"""Throughput that is paid by the hour stands still from midnight to seven."""

from hapenny.telemetry.summary import summarise
from scenarios.scene import STRONG, Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.3",
    title="Provisioned units are idle at night",
    happens="Two units are paid around the clock. From midnight to seven hardly anybody asks.",
    does="Capacity that is paid by the hour has rows of its own in the books, also for hours without a call: it "
    "is a cost until its calls earn it, and the report says what it carried against the price by the token.",
    sees="Rows `capacity` in the report, by hour on the console; `hapenny plan` on the ledger names the cheapest "
    "number of units.",
    act="Fewer units with spill to on demand, batch jobs into the night, or a schedule.",
    check="hapenny report -c hapenny.yaml --since 7d",
    proof="The capacity rows' cost is below the price by the token of what they carried.",
    without={"models": {"big": {"hourly_usd": None}}},
)
ARN = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl"
UNITS = {
    "models": {
        "big": {
            "id": ARN,
            "card": STRONG,
            "provisioned": True,
            "hourly_usd": 20.0,
        }
    },
    "tiers": {"strong": "big"},
}


async def run(scene: Scene) -> None:
    path = str(scene.folder / "ledger.db")
    async with scene.open({"ledger": {"path": path}, **UNITS}, says=lambda request, target: "At nine."):
        for number in range(50):
            await scene.ask(f"Question {number}?")
            await scene.clock.sleep(60)
        await scene.clock.sleep(8 * 3_600)
        await scene.gateway.settled()
    summary = summarise(path)
    assert summary.capacity >= 8 * 20 * 10**9
    assert summary.saved < 0
    assert summary.baseline - summary.saved - summary.estimate_error == summary.actual
