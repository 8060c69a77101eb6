"""An exact hit end to end over HTTP, against the barest handler of our own server and an empty one of aiohttp's,
interleaved."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np
from aiohttp import ClientSession, web

from hapenny.config import load
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App

_ROUNDS = 400
_WARM = 50
_BODY = {"model": "fast", "temperature": 0, "messages": [{"role": "user", "content": "Where is my order?"}]}


async def measure() -> dict[str, float]:
    """Medians in milliseconds: `added_p50` is the hit minus the empty handler."""
    gateway = Gateway(load(text="ledger: null\nbackends: {simulated: {kind: simulated}}\n"))
    await gateway.start()
    app = App(gateway)
    port = await app.start("127.0.0.1", 0)

    async def empty(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.json_response({})

    runner = web.ServerRunner(web.Server(empty))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    body = json.dumps(_BODY).encode()
    urls = {
        "hit": f"http://127.0.0.1:{port}/v1/chat/completions",
        "bare": f"http://127.0.0.1:{port}/health/live",
        "empty": f"http://127.0.0.1:{runner.addresses[0][1]}/",
    }
    taken: dict[str, list[float]] = {name: [] for name in urls}
    statuses: set[str] = set()
    async with ClientSession(headers={"content-type": "application/json"}) as session:
        for turn in range(_ROUNDS + _WARM):
            for name, url in urls.items():
                began = time.perf_counter()
                asked = session.get(url) if name == "bare" else session.post(url, data=body)
                async with asked as response:
                    await response.read()
                    if name == "hit" and turn >= _WARM:
                        statuses.add(response.headers.get("cache-status", "none"))
                if turn >= _WARM:
                    taken[name].append(time.perf_counter() - began)
                await asyncio.sleep(0)
    await app.stop()
    await runner.cleanup()
    median = {name: float(np.median(values) * 1e3) for name, values in taken.items()}
    return {
        "added_p50": median["hit"] - median["empty"],
        "empty_p50": median["empty"],
        "ratio": median["hit"] / median["empty"],
        "bare_p50": median["bare"],
        "ratio_to_bare": median["hit"] / median["bare"],
        "added_to_bare_p50": median["hit"] - median["bare"],
        "all_hits": float(all("hit" in status for status in statuses)),
    }
