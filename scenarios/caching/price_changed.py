"""The price of a volume changes, and the cache still knows the old one."""

from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.1.4",
    title="A price changed but the cache did not",
    happens="Volume 3 goes from 480 to 520 yen. Answers that name the old price are in the exact and the "
    "semantic cache.",
    does="Every stored answer carries the epoch of the knowledge it rests on. A new epoch, by reload or by request, "
    "withdraws all of them at once, in both layers and at the edge.",
    sees="`hapenny cache stats` counts the withdrawn answers; the next question is a miss and is answered anew.",
    act="Bump `knowledge_epoch` in the import job of prices (or `POST /v1/cache/invalidate` with the old one).",
    check="hapenny cache stats",
    proof="The next answer names the new price, and its `Cache-Status` says it was a miss.",
    without={"routes": {"default": {"knowledge_epoch": "always the same"}}},
)


def knows(epoch: str) -> dict[str, object]:
    semantic = {"stages": {"semantic": {"similarity": 0.5}}}
    return semantic | {"routes": {"default": {"knowledge_epoch": epoch, "stages": {"semantic": "on"}}}}


async def run(scene: Scene) -> None:
    price = {"yen": 480}

    def says(request: object, target: object) -> str:
        return f"Volume 3 costs {price['yen']} yen."

    async with scene.open(knows("monday"), says=says):
        assert (await scene.ask("What does volume 3 cost?"))[0].endswith("480 yen.")
        price["yen"] = 520
        assert (await scene.ask("What does volume 3 cost?"))[0].endswith("480 yen.")
        scene.made(knows("tuesday"), says=says, previous=scene.gateway)
        for question in ("What does volume 3 cost?", "So what does volume 3 cost?"):
            assert (await scene.ask(question))[0].endswith("520 yen.")
