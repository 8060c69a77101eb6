"""The provider updates the fast model, and it gets questions wrong."""

from hapenny.simulation.changes import Change
from scenarios.scene import FAST, Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.2",
    title="A cheap model starts failing on one intent",
    happens="The fast model was updated without a word. Since noon most of its answers are wrong.",
    does="A share of routed answers is audited against the strong model. When they turn worse than the route "
    "allows, the technique steps back to strong at once, and an alert says why.",
    sees="`hapenny report` (quality beside each saving), the alert, the routing page of the console.",
    act="Nothing at first. Name another model for `fast`, or ask the provider; evidence opens again by itself.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="The fast model serves the intent no longer; quality is what it was before noon.",
    without={"routes": {"default": {"audit_share": 0, "audit_budget_share": 0}}},
)
AUDITED = {
    "routes": {
        "default": {
            "audit_share": 0.2,
            "audit_budget_share": 1.0,
            "audit_judge": "strong",
            "max_quality_loss": 0.02,
            "stages": {"tiers": "on", "exact": "off"},
        }
    },
}


async def run(scene: Scene) -> None:
    async with scene.open(AUDITED):
        served = []
        for number in range(600):
            if number == 200:
                scene.provider.changes.add(Change(model=FAST, wrong=0.9))
            _, exchange = await scene.ask(f"Hi, when do you open on day {number}?", model="auto", intent="hours")
            served.append(exchange.target.model == FAST)
            await scene.gateway.settled()
        assert sum(served[100:200]) > 60
        assert sum(served[-100:]) == 0
