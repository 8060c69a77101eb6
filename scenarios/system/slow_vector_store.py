"""A search takes longer than the request can wait."""

import asyncio
import os
from unittest.mock import patch

from scenarios.scene import Scenario, Scene, modes

SCENARIO = Scenario(
    skill="4.2.6",
    real=True,
    title="A slow vector store",
    happens="The vector store behind a knowledge base answers in seconds instead of milliseconds.",
    does="A search has its own limit: what it has found by then is used, and the answer is made without the "
    "rest. The time is seen as retrieval's, not as the model's.",
    sees="`Server-Timing`, the step `retrieval` of the latency page, `hapenny profile` (verdict: retrieval).",
    act="Look at the store: `hapenny index tune`, more memory, fewer dimensions.",
    check="hapenny profile -c hapenny.yaml --since 24h",
    proof="Retrieval is within its part, and answers have citations again.",
    without={"stages": {"retrieval": {"seconds": 60}}, "collections": {"shop": {"knowledge_base": {"seconds": 60}}}},
)
STORE_S = 4.0
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}


async def run(scene: Scene) -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        await asyncio.sleep(STORE_S)
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 23\r\n\r\n{"retrievalResults":[]}')
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = {"id": "ABCDEFGHIJ", "base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "everybody": True}
    config = {
        **modes(retrieval="on", exact="off"),
        "collections": {"shop": {"knowledge_base": {**base, "seconds": 0.8}}},
        "stages": {"retrieval": {"collection": "shop", "seconds": 0.8}},
    }
    with patch.dict(os.environ, KEYS):
        async with scene.open(config, says=lambda request, target: "Half a penny.", seconds=0.01):
            started = scene.clock.now()
            text, exchange = await scene.ask("What does crossing the bridge cost?")
            assert asked
            assert text == "Half a penny."
            assert scene.clock.now() - started < STORE_S
            assert exchange.failure is None
    server.close()
    await asyncio.sleep(0.05)  # its connections end, too
