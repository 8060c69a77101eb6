"""An instance goes while it still writes an answer."""

import asyncio

from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.5",
    title="Scale-down during a stream",
    happens="The autoscaler takes an instance away at night; a long answer is being streamed through it.",
    does="An instance that ends takes no new requests, and waits for what is under way (`drain_s`): the stream "
    "ends properly, and its row is in the books.",
    sees="`/health/ready` answers 503 on the draining instance, its streams go on; the row is there afterwards.",
    act="`terminationGracePeriodSeconds` above `drain_s` (the Helm chart does).",
    check="hapenny report -c hapenny.yaml --since 24h",
    proof="No row of that hour ended with an error.",
    naive="The instance is taken away as it stands: what it is doing ends.",
)


async def run(scene: Scene) -> None:
    path = str(scene.folder / "ledger.db")
    config = {"ledger": {"path": path}}
    old = scene.made(config)
    await old.start()
    stream = asyncio.create_task(scene.ask("Tell me the whole story of volume 3", stream=True, max_tokens=600))
    await scene.clock.sleep(0.5)
    assert scene.provider.open_calls == 1
    new = scene.made(config, previous=old)
    await new.start()
    if scene.broken:
        stream.cancel()
    await old.aclose(new)
    if scene.broken:
        await asyncio.wait([stream])
        assert not stream.cancelled()
    text, exchange = await stream
    assert text
    assert exchange.failure is None
    assert (await scene.row(exchange)).outcome == "delivered"
    await new.aclose()
