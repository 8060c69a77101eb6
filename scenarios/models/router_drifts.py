"""A new line of products brings questions that the router has never seen."""

from scenarios.scene import Scenario, Scene, merged

SCENARIO = Scenario(
    skill="4.1.2",
    title="The router drifts on a new line",
    happens="The shop begins to sell figures. Their questions look easy to the router, and the fast tier gets them "
    "wrong.",
    does="Evidence belongs to intents: what was proven for manga opens nothing for figures. A new intent is "
    "answered by the strong model until its own pairs bear another one.",
    sees="The routing page (cells by intent: closed, pairs so far, what is missing).",
    act="Give the new line an intent; the rest comes with its traffic.",
    check="hapenny report -c hapenny.yaml --since 7d",
    proof="The new intent is answered by the strong tier until its cell opens; its quality equals the holdout's.",
    without={"routes": {"default": {"unproven": "open"}}},
)
PROVEN = {"routes": {"default": {"unproven": "closed", "audit_share": 0.1, "stages": {"tiers": "on", "exact": "off"}}}}


async def run(scene: Scene) -> None:
    async with scene.open(PROVEN):
        _, known = await scene.ask("Hi, when do you open?", model="auto", intent="figures")
        assert known.target == scene.gateway.names.resolve("strong").target
    async with scene.open(merged(PROVEN, {"routes": {"default": {"unproven": "open"}}})):
        _, believed = await scene.ask("Hi, when do you open?", model="auto", intent="figures")
        assert believed.target == scene.gateway.names.resolve("fast").target
