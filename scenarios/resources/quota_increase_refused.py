"""The provider does not grant more requests a minute."""

import asyncio

from hapenny.core.errors import Failure
from hapenny.simulation.provider import Limit
from scenarios.scene import NO_CACHE, STRONG, Scenario, Scene, merged

SCENARIO = Scenario(
    skill="4.2.5",
    title="A quota increase is refused",
    happens="The plan asked for twice the quota; the provider said no. The evening needs it.",
    does="Every region and profile is a quota pool of its own: a second place in the list of endpoints doubles "
    "what can be served, the cheapest first, within the residency that is allowed.",
    sees="`hapenny plan` (what is needed, and the ways to get it), quota use by place on the console.",
    act="Add the second place; ask again with the planner's figures.",
    check="hapenny capacity -c hapenny.yaml",
    proof="Both places carry calls, and neither is at its limit.",
    naive="The second place is not added.",
)
QUOTA = {"requests_per_minute": 60}
EAST = {"name": "east", "region": "us-east-1", "quota": QUOTA}
WEST = {"name": "west", "region": "us-west-2", "quota": QUOTA}


async def run(scene: Scene) -> None:
    answered = {}
    for name, places in (("one", [EAST]), ("two", [EAST] if scene.broken else [EAST, WEST])):
        config = {"stages": {"throughput": {"gate": {"patience_s": 2}, "models": {STRONG: {"endpoints": places}}}}}
        async with scene.open(merged(NO_CACHE, config), quotas={"*": Limit(60, None)}):

            async def one(number: int) -> bool:
                await scene.clock.sleep(number / 3)
                try:
                    await scene.ask(f"What is volume {number} about?", max_tokens=40)
                except Failure:
                    return False
                return True

            answered[name] = sum(await asyncio.gather(*(one(number) for number in range(360))))
    assert answered["two"] > 1.5 * answered["one"]
