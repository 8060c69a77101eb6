"""The learnt limit of an intent is too small for one long answer."""

from typing import Any

from scenarios.scene import Scenario, Scene, modes

SCENARIO = Scenario(
    skill="4.1.1",
    title="An answer is cut by max_tokens",
    happens="Answers about opening hours are short, and their limit was learnt. Then somebody asks for the history "
    "of the shop, under the same intent.",
    does="An answer that a learnt limit cuts is asked for once more with the client's own limit: the client "
    "never sees a shorter one than it asked for. The limit grows with what was learnt.",
    sees="The second call in the request's story; `scores.answer_freed` in the report.",
    act="Nothing. Give long answers an intent of their own.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="No answer ends with the reason `length` while its client allowed more.",
    without=modes(answer_size="off"),
)
LEARNT = modes(answer_size="on")


async def run(scene: Scene) -> None:
    history = "The shop was founded in 1816. " * 30

    def says(request: Any, target: object) -> str:
        return history if "history" in request.messages[-1].text else "We open at nine and close at six."

    async with scene.open(LEARNT, says=says):
        for number in range(60):
            await scene.ask(f"When do you open on day {number}?", intent="hours")
        limits = [request.parameters.max_tokens for request, _ in scene.script.asked]
        assert min(limits) < 400
        text, exchange = await scene.ask("Tell me the whole history of the shop", intent="hours")
        assert text == history
        assert len(exchange.calls) == 2
