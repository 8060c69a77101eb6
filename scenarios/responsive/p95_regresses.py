"""After a release of the application the slowest answers take twice as long."""

from hapenny.simulation.faults import Fault
from scenarios.scene import Scenario, Scene, modes

SCENARIO = Scenario(
    skill="4.2.1",
    title="The p95 regresses after a release",
    happens="Half of the shoppers are served as before; the slowest twentieth waits twice as long since the release "
    "at noon.",
    does="Every row has its times by step: before and after are compared, and the step that grew is named. Here "
    "the model takes longer for longer answers.",
    sees="`hapenny profile` and the latency page (steps by hour), `hapenny bench A B` before the next release.",
    act="Bound the answers, or roll the release back.",
    check="hapenny profile -c hapenny.yaml --since 24h",
    proof="The step that grew is back in its part of the budget.",
    without=modes(latency="off"),
)
CONFIG = {
    **modes(exact="off", flights="off", latency="on"),
    "stages": {"latency": {"deadline_s": 60}},
}


async def run(scene: Scene) -> None:
    waits: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for release, faults in (("before", []), ("after", [Fault(kind="slow", factor=4, share=0.1)])):
        async with scene.open(CONFIG, faults=faults):
            rows = []
            for number in range(80):
                _, exchange = await scene.ask(f"Tell me about volume {number}", stream=True, max_tokens=200)
                rows.append(await scene.row(exchange))
            waits[release] = sorted(((row.e2e or 0.0, row.steps) for row in rows), key=lambda each: each[0])
    middle, slow = ([waits[release][int(share * 80)][0] for release in ("before", "after")] for share in (0.5, 0.95))
    assert slow[1] > 1.5 * slow[0]
    assert middle[1] < 1.3 * middle[0]
    slowest = waits["after"][-1][1]
    assert slowest
    assert max(slowest, key=lambda step: slowest[step]) in ("first_token", "streaming")
