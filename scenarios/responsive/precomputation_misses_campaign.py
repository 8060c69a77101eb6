"""What was answered ahead is not what the campaign makes people ask."""

from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.1",
    title="Pre-computation misses a campaign",
    happens="Answers are made ahead for what was asked again and again. A campaign starts, and everybody asks "
    "something new.",
    does="The first of the new questions are answered once for all who ask at the same time, and from the second "
    "round on they are among those answered ahead; what was made for nothing is counted, and the budget "
    "bounds it.",
    sees="`hapenny cache stats` (pre-computed: made, used, spent).",
    act="Name the campaign's questions ahead: `hapenny cache warm FILE`.",
    check="hapenny cache stats",
    proof="The campaign's questions are among those answered ahead and used.",
    without={"precompute": {"routes": []}},
)
AHEAD = {
    "precompute": {"routes": ["default"], "every_s": 100_000, "least": 0.2},
    "stages": {"exact": {"ttl_s": 3_600}},
    "routes": {"default": {"knowledge_epoch": "7", "cache_scope": "shared"}},
}


async def run(scene: Scene) -> None:
    async with scene.open(AHEAD, says=lambda request, target: "From nine to six."):
        planner = scene.gateway.planner
        assert planner is not None
        for _ in range(6):
            await scene.ask("When do you open?")
        for _ in range(6):
            await scene.ask("What is in the summer campaign?")
        await scene.clock.sleep(3_700)  # all has expired
        assert await planner.round() >= 1
        calls = len(scene.script.asked)
        _, exchange = await scene.ask("What is in the summer campaign?")
        assert exchange.answer.precomputed
        assert len(scene.script.asked) == calls
