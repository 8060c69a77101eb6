"""Own servers sleep at night and need two minutes to start."""

from scenarios.scene import Scenario, Scene
from scenarios.spill import ALONE, FIRST, SECOND, served

SCENARIO = Scenario(
    skill="4.1.3",
    title="Scale-to-zero meets the morning's first calls",
    happens="Nobody asks at night, and the own servers are scaled to zero. At seven the first shoppers come; a "
    "server needs two minutes.",
    does="While nothing of one's own answers, calls spill over to on demand at once; as soon as a server is up "
    "the cheaper place carries them again.",
    sees="`hapenny_endpoint_open`, the capacity page: what spilled, and what it cost.",
    act="A scheduled start before seven where the spill costs more than the server.",
    check="hapenny capacity -c hapenny.yaml",
    proof="Calls are back at the own place; what spilled stands in the report.",
    without=ALONE,
)


async def run(scene: Scene) -> None:
    answers = await served(scene, 180, end=120.0)
    assert max(each.seconds for each in answers) < 10
    assert {each.region for each in answers if each.at < 110} == {SECOND}
    assert answers[-1].region == FIRST
