"""The route that extracts order numbers runs at temperature 1."""

from scenarios.scene import Scenario, Scene, modes

SCENARIO = Scenario(
    skill="4.2.4",
    title="A creative profile on extraction",
    happens="Somebody raised the temperature for livelier recommendations. Since then order numbers come out "
    "differently from run to run.",
    does="Parameter sets belong to intents: extraction gets the set `extraction` (temperature 0), "
    "recommendations keep theirs. What a client sends itself is kept unless the set says `override`.",
    sees="Notes on each answer, and `hapenny report` by intent; equal questions hit the cache again.",
    act="`stages: {parameters: {use_sets: true}}`, an own set for what is livelier.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="Equal questions of the intent get equal answers and hit the cache.",
    without={"stages": {"parameters": {"use_sets": False}}},
)
SETS = {
    "stages": {
        "parameters": {
            "use_sets": True,
            "sets": {"steady": {"temperature": 0.0}, "lively": {"temperature": 0.9}},
            "by_intent": {"extraction": "steady", "recommendation": "lively"},
        }
    },
    **modes(parameters="on"),
}


async def run(scene: Scene) -> None:
    async with scene.open(SETS, says=lambda request, target: "Order 4711."):
        await scene.ask("Which order number is in this mail?", intent="extraction", temperature=None)
        await scene.ask("Recommend me something", intent="recommendation", temperature=None)
        sent = [request.parameters.temperature for request, _ in scene.script.asked]
        assert sent == [0.0, 0.9]
