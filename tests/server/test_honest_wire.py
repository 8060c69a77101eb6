"""Latencies that Bedrock's clients read are real, and what a provider's dialect cannot say is told to the client."""

import aiohttp
from aiohttp import web

from hapenny.backends.openai import OpenAIBackend
from hapenny.backends.pool import Pool
from hapenny.core.clock import RealClock
from tests.backends.servers import serving as provider
from tests.server.house import Scripted, serving

ASKED = {"messages": [{"role": "user", "content": [{"text": "Why?"}]}], "inferenceConfig": {"temperature": 0}}


async def test_converse_and_invoke_tell_how_long_it_took(tmp_path):
    async with serving(tmp_path, Scripted(pause=0.01)) as (url, _), aiohttp.ClientSession() as session:
        async with session.post(url + "/model/strong/converse", json=ASKED) as answer:
            assert (await answer.json())["metrics"]["latencyMs"] >= 50
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "Why not?"}],
        }
        async with session.post(url + "/model/strong/invoke", json=body) as answer:
            assert int(answer.headers["x-amzn-bedrock-invocation-latency"]) >= 50
        async with session.post(
            url + "/model/strong/converse-stream", json=ASKED | {"system": [{"text": "x"}]}
        ) as answer:
            streamed = await answer.read()
            at = streamed.index(b'"latencyMs":') + len(b'"latencyMs":')
            assert int(streamed[at : at + 6].split(b"}")[0]) >= 50


async def openai(request):
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Because."}}
    return web.json_response(
        {
            "object": "chat.completion",
            "model": "m",
            "choices": [message],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }
    )


async def test_what_the_provider_cannot_be_told_is_noted_and_answers_have_an_id(tmp_path):
    clock = RealClock()
    async with provider(openai) as base, aiohttp.ClientSession() as session:
        backend = OpenAIBackend("simulated", Pool(clock), clock, base + "/v1", "key")
        async with serving(tmp_path, backend) as (url, _):
            there = {"additionalModelRequestFields": {"safety_mode": "STRICT"}}
            async with session.post(url + "/model/strong/converse", json=ASKED | there) as answer:
                assert answer.status == 200, await answer.text()
                assert "additionalModelRequestFields" in answer.headers["x-hapenny-notes"]
                assert "STRICT" not in answer.headers["x-hapenny-notes"]
            body = {"model": "strong", "temperature": 0, "messages": [{"role": "user", "content": "Why?"}]}
            async with session.post(url + "/v1/chat/completions", json=body | {"logit_bias": {"5": 1}}) as answer:
                assert (await answer.json())["id"]
                assert "not sent" not in answer.headers.get("x-hapenny-notes", "")
