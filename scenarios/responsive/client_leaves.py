"""A shopper closes the tab while the answer is being written."""

import asyncio
import contextlib
from typing import Any

from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.1",
    title="A client that leaves",
    happens="Shoppers close the tab in the middle of an answer, many of them on release days.",
    does="The call to the provider is let go at once, its place is free again, and the books count what was "
    "generated until then, as an upper bound and never as nothing.",
    sees="Rows with outcome `left`; calls under way go back to zero.",
    act="Nothing. Ask for shorter answers where many leave.",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="Calls under way go back to 0; rows that were left have a cost, an upper bound.",
    naive="The application in front goes on reading for a client that is gone.",
)


async def run(scene: Scene) -> None:
    async with scene.open():
        asking = asyncio.create_task(scene.ask("Tell me the whole story of volume 3", stream=True, max_tokens=2_000))
        task: asyncio.Future[Any] = asyncio.shield(asking) if scene.broken else asking
        await scene.clock.sleep(0.8)
        assert scene.provider.open_calls == 1
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await scene.clock.sleep(1.0)
        await scene.gateway.settled()
        assert scene.provider.open_calls == 0
        assert scene.metric("hapenny_requests_total", outcome="left") == 1
