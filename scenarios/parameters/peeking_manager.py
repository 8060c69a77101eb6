"""Somebody looks at the test every hour and wants to stop it when it looks good."""

import random
import statistics

from hapenny.evidence.analysis import Unit, analyse
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.4",
    title="An A/B test with a peeking manager",
    happens="Two greetings are compared. There is no difference between them, but a manager looks after every fifty "
    "users, and would stop at the first p below .05: on most days there is one.",
    does="The verdict is any-time valid: it may be looked at as often as anybody likes. Without a difference it "
    "stays `no verdict yet`; with one it comes.",
    sees="`hapenny experiment analyse` and the console show interval, verdict and how many users are still missing.",
    act="Look as often as you like, and act on the verdict only.",
    check="hapenny experiment analyse NAME",
    proof="The test ended by its verdict, or runs on.",
    naive="A verdict is the first p below .05.",
)


def users(count: int, lift: float, seed: int) -> list[Unit]:
    draw = random.Random(seed)
    return [
        Unit(arm=arm, metrics={"quality": draw.gauss(0.6, 0.3) + (lift if arm == "variant" else 0.0)})
        for arm in (draw.choice(("control", "variant")) for _ in range(count))
    ]


async def run(scene: Scene) -> None:
    shares = {"control": 0.5, "variant": 0.5}
    alarms = naive = 0
    for day in range(12):
        seen = users(1_500, 0.0, day)
        looks = [seen[:count] for count in range(100, 1_501, 50)]
        verdicts = {analyse(look, shares, metric="quality", horizon=1_000).verdicts["variant"] for look in looks}
        significant = any(looks_significant(look) for look in looks)
        alarms += significant if scene.broken else bool(verdicts & {"better", "worse"})
        naive += significant
    assert alarms <= 1 < naive
    assert analyse(users(3_000, 0.08, 1), shares, metric="quality", horizon=1_000).verdicts["variant"] == "better"


def looks_significant(seen: list[Unit]) -> bool:
    """The test that a spreadsheet makes."""
    sides = [[unit.metrics["quality"] for unit in seen if unit.arm == arm] for arm in ("control", "variant")]
    means = [statistics.fmean(side) for side in sides]
    error = sum(statistics.variance(side) / len(side) for side in sides) ** 0.5
    return abs(means[1] - means[0]) > 1.96 * error
