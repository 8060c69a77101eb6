"""“And what does it cost?” means nothing by itself."""

from hapenny.core.messages import Message, Text
from scenarios.scene import Scenario, Scene, searched

SCENARIO = Scenario(
    skill="4.2.2",
    real=True,
    title="An ambiguous follow-up",
    happens="In the second turn the shopper only says “it”. Searched as it stands, the question finds anything with "
    "a price.",
    does="References are resolved from the turns before, by rule; where no rule fits and helpers are allowed, "
    "the fast tier is asked.",
    sees="`explain` of `/v1/retrieve` shows the question that was searched.",
    act="Allow helpers (`remote: true`) where shoppers write in riddles.",
    check='hapenny index search COLLECTION "And what does it cost?"',
    proof="The follow-up's citations are of the series that was spoken of.",
    naive="The question is searched as it stands, without the turns before it.",
)


async def run(scene: Scene) -> None:
    names = ["Iron Bridge", "Silver Ferry", "Copper Mill", "Golden Harbour"]
    rows = [
        {
            "id": name,
            "title": name,
            "text": f"{name} is a series in {n + 3} volumes. Each volume costs {480 + 40 * n} yen.",
        }
        for n, name in enumerate(names)
    ]
    folder = await scene.indexed(rows)
    async with scene.open(searched(folder), says=lambda request, target: "[1]"):
        for name in names:
            turns = (
                Message("user", (Text(f"Tell me about {name}."),)),
                Message("assistant", (Text(f"{name} has some volumes."),)),
                Message("user", (Text("And what does it cost?"),)),
            )
            _, exchange = await scene.ask(messages=turns[-1:] if scene.broken else turns)
            assert [cited.title for cited in exchange.answer.citations][:1] == [name]
