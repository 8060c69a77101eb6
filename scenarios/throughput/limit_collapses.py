"""Half a minute of refusals teaches the gateway a tiny limit."""

from hapenny.core.errors import Failure
from hapenny.simulation.faults import Fault
from scenarios.scene import NO_CACHE, STRONG, Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.3",
    title="The adaptive limit collapses",
    happens="For half a minute the provider refuses everything. What is learnt from that must not keep the shop "
    "closed afterwards.",
    does="A learnt limit always lets a trickle through, forgets with time, and rises as calls succeed: a quiet "
    "service is back within seconds.",
    sees="`hapenny doctor`, `hapenny_learnt_tokens_per_minute`, and the error's text while it holds.",
    act="Nothing. `learn: false` for a model whose quota is known and configured.",
    check="hapenny doctor -c hapenny.yaml",
    proof="The learnt limit has risen, and nobody is refused.",
    # A limit that stays where it fell to:
    without={"stages": {"throughput": {"models": {STRONG: {"quota": {"requests_per_minute": 2}}}}}},
)


async def run(scene: Scene) -> None:
    outage = [Fault(kind="throttle", share=1.0, begin=5.0, end=35.0)]
    async with scene.open(NO_CACHE, faults=outage):

        async def one(number: int) -> bool:
            try:
                await scene.ask(f"What is volume {number} about?")
            except Failure:
                return False
            return True

        for number in range(30):
            await one(number)
            await scene.clock.sleep(1)
        await scene.clock.sleep(max(0.0, 45 - scene.clock.now()))
        assert sum([await one(1_000 + number) for number in range(20)]) >= 18
