"""A question in three parts waits for one part that never answers."""

import asyncio
from typing import Any

from hapenny.backends.simulated import SimulatedBackend
from hapenny.core.errors import Failure
from hapenny.core.messages import Parameters
from hapenny.gateway.parallel import parallel
from hapenny.responsive.parallel import Part
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.1",
    title="One of three workers hangs",
    happens="A comparison of three volumes is answered in parts, side by side. One part gets no answer.",
    does="The parts have their own limits: the answer is put together from those that came, names what is "
    "missing, and costs what was really called.",
    sees="The parts' rows under one tag, the total cost on the answer.",
    act="Nothing. Give the parts a fallback.",
    check="hapenny profile -c hapenny.yaml --since 24h",
    proof="Answers of several parts come within their limit and name what is missing.",
    naive="The parts are gathered as they are: one that fails takes the others along.",
)


class Hanging(SimulatedBackend):
    """Never answers about volume 2."""

    async def call(self, request: Any, target: Any, limits: Any) -> Any:
        if "volume 2" in request.messages[-1].text:
            raise Failure("timeout", "no answer")
        return await super().call(request, target, limits)


async def run(scene: Scene) -> None:
    parts = tuple(Part(question=f"What is in volume {number}?", name=f"Volume {number}") for number in (1, 2, 3))
    scene.made()
    gateway = scene.gateway
    gateway.backends["simulated"] = Hanging("simulated", scene.provider)  # type: ignore[index]
    async with gateway:
        if scene.broken:
            await asyncio.gather(*(scene.ask(part.question) for part in parts))
        joined = await parallel(
            gateway, parts, model="strong", parameters=Parameters(max_tokens=300, temperature=0.0), group="par_1"
        )
        assert "Volume 1" in joined.text
        assert "Volume 3" in joined.text
        assert [bool(said.text) for said in joined.parts] == [True, False, True]
        assert joined.seconds < joined.in_turn
