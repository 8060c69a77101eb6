"""Models in the dialect of whoever asks: lists, one by its name, lifecycle; with the official clients."""

import anthropic
import anyio.to_thread
import boto3
import botocore.config
import openai
import pytest

from hapenny.config import load
from tests.server.house import Scripted, running, serving

CONFIG = """
backends:
  aws: {kind: bedrock, base_url: "http://127.0.0.1:9", api_key: x, region: eu-west-1}
models:
  old: {id: "anthropic.claude-3-sonnet-20240229-v1:0", backend: aws}
  sonnet: {id: "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", backend: aws}
tiers: {fast: sonnet, strong: sonnet}
aliases: {helper: sonnet}
ledger: null
keys: [{key: key-of-everything}, {key: key-of-the-fast-one, models: [fast]}]
"""


async def test_openais_client_lists_and_finds_models(tmp_path):
    async with running(load(text=CONFIG)) as (url, _):
        for base in (f"{url}/v1", f"{url}/openai/v1"):
            async with openai.AsyncOpenAI(base_url=base, api_key="key-of-everything", max_retries=0) as client:
                ids = [model.id async for model in await client.models.list()]
                assert {"auto", "fast", "strong", "helper", "old", "sonnet"} <= set(ids)
                for name in [*ids, "anthropic.claude-3-haiku-20240307-v1:0"]:
                    assert (await client.models.retrieve(name)).id == name
                with pytest.raises(openai.NotFoundError):
                    await client.models.retrieve("no/such")


async def test_a_configured_model_is_found_by_its_providers_id(tmp_path):
    config = CONFIG.split("keys:")[0].replace("  old:", "  house: {id: Qwen/Qwen3-8B, backend: aws}\n  old:")
    async with (
        running(load(text=config)) as (url, _),
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        assert (await client.models.retrieve("Qwen/Qwen3-8B")).id == "Qwen/Qwen3-8B"


async def test_anthropics_client_lists_and_finds_models_with_their_lifecycle(tmp_path):
    async with running(load(text=CONFIG)) as (url, _):
        for base in (url, f"{url}/anthropic"):
            async with anthropic.AsyncAnthropic(base_url=base, api_key="key-of-everything", max_retries=0) as client:
                page = await client.models.list(limit=2)
                assert (len(page.data), page.has_more) == (2, True)
                models = {model.id: model async for model in client.models.list(limit=2)}
                assert {"auto", "fast", "strong", "helper", "old", "sonnet"} <= set(models)
                assert models["sonnet"].max_input_tokens
                assert {model.lifecycle for model in models.values()} <= {"active", "deprecated", "retired"}
                assert models["old"].lifecycle == "retired"
                assert models["sonnet"].retires_at is not None  # the catalog knows the day
                assert (await client.models.retrieve("helper")).id == "helper"
                with pytest.raises(anthropic.NotFoundError):
                    await client.models.retrieve("no-such-model-at-all")


async def test_boto3_lists_and_finds_models(tmp_path):
    async with running(load(text=CONFIG.split("keys:")[0])) as (url, _):
        client = boto3.client(
            "bedrock", region_name="eu-west-1", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="y",
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip
        listed = await anyio.to_thread.run_sync(client.list_foundation_models)
        by_name = {each["modelName"]: each for each in listed["modelSummaries"]}
        assert by_name["sonnet"]["modelId"] == "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
        assert by_name["sonnet"]["providerName"] == "Anthropic"
        assert by_name["old"]["modelLifecycle"]["status"] == "LEGACY"
        one = await anyio.to_thread.run_sync(lambda: client.get_foundation_model(modelIdentifier="old"))
        assert one["modelDetails"]["modelArn"].startswith("arn:aws:bedrock:eu-west-1::foundation-model/")
        only = await anyio.to_thread.run_sync(lambda: client.list_foundation_models(byProvider="nobody"))
        assert only["modelSummaries"] == []


async def test_a_key_sees_what_it_may_ask_for(tmp_path):
    async with (
        running(load(text=CONFIG)) as (url, _),
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="key-of-the-fast-one", max_retries=0) as client,
    ):
        assert [model.id async for model in await client.models.list()] == ["fast"]
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("strong")


async def test_good_answers_carry_the_id_where_each_client_looks(tmp_path):
    backend = Scripted()
    async with serving(tmp_path, backend) as (url, _):
        messages = [{"role": "user", "content": "What is the toll?"}]
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x") as client:
            assert (await client.chat.completions.create(model="strong", messages=messages))._request_id
        async with anthropic.AsyncAnthropic(base_url=url, api_key="x") as client:
            assert (await client.messages.create(model="strong", messages=messages, max_tokens=9))._request_id
        bedrock = boto3.client(
            "bedrock-runtime", region_name="us-east-1", endpoint_url=url, aws_access_key_id="x",
            aws_secret_access_key="y",
        )  # fmt: skip
        turns = [{"role": "user", "content": [{"text": "What is the toll?"}]}]
        for call in (bedrock.converse, bedrock.converse_stream):
            answer = await anyio.to_thread.run_sync(lambda call=call: call(modelId="strong", messages=turns))
            assert answer["ResponseMetadata"]["RequestId"] == answer["ResponseMetadata"]["HTTPHeaders"]["x-request-id"]
