"""Two thirds of the catalogue are taken out of print, and the index still holds them."""

from scenarios.scene import Scenario, Scene, searched

SCENARIO = Scenario(
    skill="4.2.2",
    real=True,
    title="Index recall drops after a mass delete",
    happens="Two hundred volumes went out of print overnight. Answers still cite them, and what is in print is "
    "pushed out.",
    does="The index follows its source: what is gone from it is gone from the next build on, for every search "
    "leg, and what is left is found as before.",
    sees="`hapenny index build` says what was removed; `hapenny index tune` measures recall against exact search.",
    act="Let the import job build the index; tune its shape again after such a change.",
    check="hapenny index tune COLLECTION QUERIES",
    proof="No citation names what is gone, and recall is what it was.",
    naive="The index is not built again: it holds what is gone.",
)


def rows(numbers: range) -> list[dict[str, object]]:
    kinds = ("bridge", "ferry", "mill")
    return [
        {
            "id": str(n),
            "title": f"Tales of the {kinds[n % 3]} {n}",
            "text": f"Story {n} about a keeper of the {kinds[n % 3]}.",
        }
        for n in numbers
    ]


async def run(scene: Scene) -> None:
    folder = await scene.indexed(rows(range(120)))
    if not scene.broken:
        await scene.indexed(rows(range(80, 120)), "shop", "--complete")
    async with scene.open(searched(folder), says=lambda request, target: "See [1]."):
        _, gone = await scene.ask("Story 12 about a keeper of the bridge?")
        assert all(int(cited.title.split()[-1]) >= 80 for cited in gone.answer.citations)
        _, kept = await scene.ask("Story 93 about a keeper of the bridge?")
        assert any(cited.title.endswith(" 93") for cited in kept.answer.citations)
