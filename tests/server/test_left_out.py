"""What an answer holds that its client's dialect has no word for is named in the answer's notes."""

import aiohttp
from aiohttp import web

from hapenny.config import load
from tests.backends.servers import serving as provider
from tests.protocols.recorded_streams import HALF, ROLE, STOP, counts, last, sse
from tests.server.house import running

CONFIG = """
backends: {oa: {kind: openai, base_url: "%s/v1", api_key: k}}
models: {gpt: {id: gpt-4.1, backend: oa}}
routes: {default: {preset: demo, holdout: 0, baseline: gpt}}
ledger: {path: "%s/ledger.db"}
"""
PROBABLE = {"content": [{"token": "Half", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
ASK = {"model": "gpt", "max_tokens": 9, "messages": [{"role": "user", "content": "What is the toll?"}]}


async def answer(request: web.Request) -> web.StreamResponse:
    if (await request.json()).get("stream"):
        choice = {**HALF["choices"][0], "logprobs": PROBABLE}
        body = sse(ROLE, {**HALF, "choices": [choice]}, STOP, last())
        return web.Response(body=body, content_type="text/event-stream")
    message = {"role": "assistant", "content": "Half"}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": PROBABLE}
    return web.json_response({"id": "c", "model": "m", "created": 1, "choices": [choice], "usage": counts()})


async def test_an_anthropic_client_is_told_that_there_were_logprobs(tmp_path):
    async with provider(answer) as theirs:
        config = load(text=CONFIG % (theirs, tmp_path))
        async with running(config) as (url, _), aiohttp.ClientSession() as http:
            for _ in range(2):  # the second time out of the cache
                async with http.post(f"{url}/v1/messages", json=ASK) as whole:
                    assert "left out: logprobs" in whole.headers["x-hapenny-notes"]
            async with http.post(f"{url}/v1/messages", json={**ASK, "stream": True}) as streamed:
                assert "left out: logprobs" in await streamed.text()
            chat = {**ASK, "logprobs": True}
            async with http.post(f"{url}/v1/chat/completions", json=chat) as own:
                assert "left out" not in own.headers.get("x-hapenny-notes", "")
                assert (await own.json())["choices"][0]["logprobs"] == PROBABLE
