"""A customer has chatted for forty turns, and the model's context is full."""

from hapenny.core.messages import Message, Text
from scenarios.scene import Scenario, Scene, modes

SCENARIO = Scenario(
    skill="4.1.1",
    title="A long chat passes the window",
    happens="The conversation no longer fits into the model's context, or into what the operator wants to pay for a "
    "turn.",
    does="Old turns are left out in whole pieces behind a first turn that stays; names, dates, amounts and "
    "identifiers of what is gone stay verbatim.",
    sees="The report's line `window`; a note on the answer.",
    act="Nothing. `stages: {window: {limit: …}}` says how much a turn may cost.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="A turn of a long chat costs no more than `limit`, and no request fails for its length.",
    without=modes(window="off"),
)
LIMITED = {
    "stages": {"window": {"limit": 2600, "recent": 4}},
    **modes(window="on"),
}


async def run(scene: Scene) -> None:
    async with scene.open(LIMITED, says=lambda request, target: "Cart 7."):
        filler = "The keeper of the bridge wrote down who crossed and with which cart, in a book that nobody read. "
        turns: list[Message] = []
        for number in range(40):
            turns.append(Message("user", (Text(f"Question {number}: who crossed on day {number}? {filler * 3}"),)))
            turns.append(Message("assistant", (Text(f"Order A-{1000 + number} crossed. {filler * 3}"),)))
        text, _ = await scene.ask(messages=turns[:-1])
        assert text == "Cart 7."
        sent = scene.script.asked[-1][0].messages
        assert len(sent) < len(turns) - 1
        assert sum(len(message.text) for message in sent) < 0.6 * sum(len(turn.text) for turn in turns)
        assert sent[-1].text == turns[-2].text
