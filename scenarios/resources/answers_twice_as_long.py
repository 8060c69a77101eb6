"""A new model version talks more, and the tokens of a minute run out."""

from typing import Any

from scenarios.scene import Scenario, Scene, merged, modes

SCENARIO = Scenario(
    skill="4.2.5",
    title="Answers become twice as long",
    happens="The provider's new version writes twice as much. Output tokens count several times against the quota.",
    does="Sizes of answers are learnt by intent: reservations, predictions and the planner follow, and `hapenny "
    "plan` on the new ledger asks for what is really needed.",
    sees="`hapenny_tokens_total{kind=\"output\"}`, the report's tokens by kind, the planner's need.",
    act="`brevity` as an experiment, an `answer_size` limit, or more quota.",
    check="hapenny plan --ledger ledger.db --model anthropic.claude-3-sonnet-20240229-v1:0",
    proof="The quota that the planner asks for is granted, or answers are short again.",
    without={"stages": {"answer_size": {"window": 10_000}}},
)

LEARNING = merged(modes(exact="off", answer_size="shadow"), {"stages": {"answer_size": {"window": 40}}})
"""Sizes are those of the last forty answers of an intent."""


async def run(scene: Scene) -> None:
    words = {"count": 30}

    def says(request: Any, target: object) -> str:
        return "It is about a bridge. " * words["count"]

    async with scene.open(LEARNING, says=says):
        sizes = []
        for count, questions in ((30, 80), (60, 40)):
            words["count"] = count
            for number in range(questions):
                await scene.ask(f"Volume {number} of {count}?", intent="summary", max_tokens=2_000)
            _, exchange = await scene.ask("And volume 1?", intent="summary", max_tokens=2_000)
            sizes.append(scene.gateway.shared.sizes.typical(exchange.intent) or 0)
        assert sizes[1] > 1.5 * sizes[0] > 0
