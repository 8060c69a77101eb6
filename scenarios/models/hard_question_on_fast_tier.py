"""An expert's question is routed as if it were small talk."""

from scenarios.scene import Scenario, Scene, modes

SCENARIO = Scenario(
    skill="4.1.2",
    title="A hard question on the fast tier",
    happens="Routing is on. Somebody asks for a proof instead of opening hours.",
    does="Each question is scored before a model is chosen: easy ones go to the fast tier, hard ones to the "
    "strong one; what is in doubt goes up.",
    sees="`x-hapenny-model`, `hapenny select TEXT` says why, the routing page of the console.",
    act="A wrong one is judged (`POST /v1/feedback`): evidence closes what loses too much.",
    check='hapenny select "Prove that the primes are infinite" -c hapenny.yaml',
    proof="The command names the strong tier for the question.",
    without=modes(tiers="off"),
)
HARD = (
    "Prove that the sum of the reciprocals of the primes diverges, derive the asymptotic rate with all constants, "
    "compare it with the harmonic series, and say why the usual argument with Euler products needs care."
)


async def run(scene: Scene) -> None:
    async with scene.open(modes(tiers="on")):
        _, easy = await scene.ask("Hi, when do you open?", model="auto")
        _, hard = await scene.ask(HARD, model="auto")
        prices = {tier: scene.gateway.names.resolve(tier).target for tier in ("fast", "strong")}
        assert easy.target == prices["fast"]
        assert hard.target == prices["strong"]
