"""Throughput that is paid by the hour answers no more."""

from scenarios.scene import Scenario, Scene
from scenarios.spill import ALONE, FIRST, SECOND, served

SCENARIO = Scenario(
    skill="4.1.3",
    title="A provisioned unit is lost",
    happens="The provisioned model's ARN answers 503 since three o'clock. It is paid by the hour whether it answers "
    "or not.",
    does="Calls spill to on demand in the same region while its breaker is open; a probe finds out when it is "
    "back. The report shows the capacity's cost beside what it carried.",
    sees="`hapenny_endpoint_open`, capacity rows in the report, health `degraded`.",
    act="Open a case with the provider; delete the unit if it stays away.",
    check="hapenny capacity -c hapenny.yaml",
    proof="Calls carry the unit's place again, and the spill's share is 0.",
    without=ALONE,
)


async def run(scene: Scene) -> None:
    answers = await served(scene, 120, begin=20.0, end=80.0)  # one that failed would end it
    assert {each.region for each in answers if each.at < 19} == {FIRST}
    assert [each.region for each in answers if 30 < each.at < 75].count(SECOND) >= 30
    assert answers[-1].region == FIRST
