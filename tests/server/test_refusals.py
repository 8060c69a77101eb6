"""The server that plays a provider refuses what the services refuse: with their words, status and type."""

from __future__ import annotations

import asyncio
import contextlib
import copy

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from hapenny.cli.simulate import provider
from tests.protocols.rules.test_broken import BROKEN, INVOKE, MESSAGES, WHOLE

OLD = "anthropic.claude-3-haiku-20240307-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PATHS = {"converse": f"/model/{HAIKU}/converse", "invoke": f"/model/{HAIKU}/invoke", "anthropic": "/v1/messages"}


@contextlib.asynccontextmanager
async def served(deck="current-2026"):
    app, _ = provider(deck)
    await app.gateway.start()
    port = await app.start(port=0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await app.stop()


def broken(service, ours):
    return [
        pytest.param(name, change, words, id=f"{name}-{n}")
        for n, (name, where, change, model, words) in enumerate(BROKEN)
        if where == service and ours in model and name != "image_count"
    ]


async def asked(url, service, body):
    async with aiohttp.ClientSession() as session, session.post(url + PATHS[service], json=body) as answer:
        return answer.status, dict(answer.headers), await answer.json()


@pytest.mark.parametrize(("name", "change", "words"), broken("converse", "sonnet-4-5"))
async def test_converse_says_no_in_its_own_words(name, change, words):
    body = copy.deepcopy(WHOLE["converse"])
    change(body)
    async with served() as url:
        status, headers, said = await asked(url, "converse", body)
    assert status == 400, said
    assert headers["x-amzn-errortype"].startswith("ValidationException")
    assert words in said["message"], said


@pytest.mark.parametrize(("name", "change", "words"), broken("invoke", "haiku-4-5"))
async def test_invoke_says_no_in_its_own_words(name, change, words):
    body = copy.deepcopy(INVOKE)
    change(body)
    async with served() as url:
        status, headers, said = await asked(url, "invoke", body)
    assert status == 400, said
    assert headers["x-amzn-errortype"].startswith("ValidationException")
    assert words in said["message"], said


@pytest.mark.parametrize(("name", "change", "words"), broken("anthropic", "sonnet-4-5"))
async def test_anthropic_says_no_in_its_own_words(name, change, words):
    body = {**copy.deepcopy(MESSAGES), "model": HAIKU}
    change(body)
    async with served() as url:
        status, _, said = await asked(url, "anthropic", body)
    assert status == 400, said
    assert said["error"]["type"] == "invalid_request_error"
    assert words in said["error"]["message"], said


async def test_whole_bodies_are_answered():
    async with served() as url:
        for service in PATHS:
            body = copy.deepcopy(WHOLE[service]) | ({"model": HAIKU} if service == "anthropic" else {})
            status, _, said = await asked(url, service, body)
            assert status == 200, said


@pytest.mark.parametrize("kind", ["converse", "converse-stream"])
async def test_a_cache_point_for_a_model_without_a_cache_is_denied(kind):
    body = {"messages": [{"role": "user", "content": [{"text": "x"}, {"cachePoint": {"type": "default"}}]}]}
    async with (
        served("manga-2024") as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/model/{OLD}/{kind}", json=body) as answer,
    ):
        assert answer.status == 403
        assert answer.headers["x-amzn-errortype"].startswith("AccessDeniedException")
        assert "did not allow prompt caching" in (await answer.json())["message"]


async def test_boto3_raises_the_error_that_it_knows():
    async with served() as url:
        client = boto3.client(
            "bedrock-runtime", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x",
            aws_secret_access_key="y", config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip
        talk = [{"role": "assistant", "content": [{"text": "hello"}]}, {"role": "user", "content": [{"text": "hi"}]}]
        for call in (client.converse, client.converse_stream):
            with pytest.raises(ClientError) as caught:
                await asyncio.to_thread(call, modelId=HAIKU, messages=talk)
            assert caught.value.response["Error"]["Code"] == "ValidationException"
            assert "must start with a user message" in caught.value.response["Error"]["Message"]
