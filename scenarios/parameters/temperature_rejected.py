"""A new model takes no temperature, and the application sends one."""

import pytest

from hapenny.core.errors import Failure
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.4",
    title="Temperature rejected by a new model",
    happens="The tier `strong` is pointed at a model that refuses `temperature`. The application still sends 0.2, "
    "and every request would be a 400.",
    does="The catalog says what each model takes. What it refuses is translated or left out before the call, and "
    "said in the answer's notes; `refused: reject` answers 400 with the field and the fix instead.",
    sees="`x-hapenny-notes` on the answers, the notes in the ledger's rows.",
    act="Leave the parameter out in the application when it suits; nothing is urgent.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="No request fails with 400.",
    without={"stages": {"parameters": {"refused": "reject"}}},
)
MODEL = "anthropic.claude-opus-4-7"
"""A model that takes no temperature."""


async def run(scene: Scene) -> None:
    config = {"tiers": {"strong": MODEL}}
    async with scene.open(config, card="current-2026"):
        text, exchange = await scene.ask("What is volume 3 about?", temperature=0.2)
        assert text
        assert any("temperature" in note for note in exchange.notes)
    async with scene.open({**config, "stages": {"parameters": {"refused": "reject"}}}, card="current-2026"):
        with pytest.raises(Failure) as error:
            await scene.ask("What is volume 3 about?", temperature=0.2)
        assert error.value.field == "temperature"
        assert error.value.fix
