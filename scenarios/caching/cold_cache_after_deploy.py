"""A deploy empties the cache while everybody asks the same."""

import asyncio

from scenarios.scene import NO_CACHE, Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.4",
    title="Cold cache after a deploy",
    happens="A new version goes out at noon. The answer cache is empty, and sixty shoppers ask for the same opening "
    "hours within a second.",
    does="Equal calls under way are joined: one goes to the provider, the others read its answer as it comes. A reload "
    "(SIGHUP) keeps what is stored.",
    sees="`hapenny_cache_requests_total` shows the misses, the report's line `flights` what joining them saved.",
    act="Nothing. Prefer a reload to a restart; where texts may be kept, `hapenny cache warm` fills the cache.",
    check="hapenny cache stats",
    proof="Hits are back at their usual share within minutes; calls did not jump at the deploy.",
    without=NO_CACHE,
)


async def run(scene: Scene) -> None:
    async with scene.open(says=lambda request, target: "From nine to six."):
        answers = await asyncio.gather(*(scene.ask("When do you open?", user=f"u{n}") for n in range(60)))
        assert {text for text, _ in answers} == {"From nine to six."}
        assert len(scene.script.asked) == 1
        before = scene.gateway
        scene.made(says=lambda request, target: "asked again", previous=before)
        text, _ = await scene.ask("When do you open?")
        assert text == "From nine to six."
