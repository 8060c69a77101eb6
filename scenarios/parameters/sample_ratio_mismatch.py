"""One arm of a test gets more users than it should."""

import random

from hapenny.evidence.analysis import Unit, analyse
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.4",
    title="Sample-ratio mismatch",
    happens="An app version drops the user's name for some, and one arm collects 60 % of the users. It also looks "
    "much better.",
    does="The shares are tested before anything else. Where they do not fit, the verdict is `blocked`, however "
    "large the lift.",
    sees="`hapenny experiment analyse` shows the shares, and the p of their test.",
    act="Find what drops users (here: the app version), mend it, start the test anew under another name.",
    check="hapenny experiment analyse NAME",
    proof="The new test's shares are those that were meant.",
    naive="Whatever shares came are taken for those that were meant.",
)


async def run(scene: Scene) -> None:
    draw = random.Random(3)
    shares = {"control": 0.5, "variant": 0.5}

    def users(tilt: float) -> list[Unit]:
        arms = ["variant" if draw.random() < tilt else "control" for _ in range(2_000)]
        return [Unit(arm=arm, metrics={"quality": draw.gauss(0.8 if arm == "variant" else 0.5, 0.1)}) for arm in arms]

    came = {"control": 0.4, "variant": 0.6}
    tilted = analyse(users(0.6), came if scene.broken else shares, metric="quality", horizon=1_000)
    assert tilted.verdicts["variant"] == "blocked"
    assert tilted.sample_ratio_p < 0.001
    assert analyse(users(0.5), shares, metric="quality", horizon=1_000).verdicts["variant"] == "better"
