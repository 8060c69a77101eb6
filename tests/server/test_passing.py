"""What is not understood passes through untouched, metered: embeddings and other vendors' native bodies."""

import asyncio
import json

import anyio.to_thread
import boto3
import botocore.config
import botocore.exceptions
import numpy as np
import openai
import pytest

from hapenny.config import load
from tests.server.house import running, serving

TITAN = "amazon.titan-embed-text-v2:0"
WIRED = """
backends:
  bank: {{kind: bedrock, base_url: "{bank}", api_key: simulated, region: us-east-1}}
  compatible: {{kind: openai, base_url: "{bank}/v1", api_key: simulated}}
tiers: {{strong: anthropic.claude-3-sonnet-20240229-v1:0}}
routes: {{default: {{baseline: strong}}}}
ledger: {{path: "{ledger}"}}
"""


def bedrock(url):
    config = botocore.config.Config(retries={"total_max_attempts": 1})
    return boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=config,
        aws_access_key_id="AKIATEST", aws_secret_access_key="secret",
    )  # fmt: skip


async def off_loop(fn):
    return await anyio.to_thread.run_sync(fn)


@pytest.fixture
async def crossing(tmp_path):
    """(url of a gateway, its app, the provider behind it over sockets)."""
    async with serving(tmp_path) as (bank, behind):
        config = load(text=WIRED.format(bank=bank, ledger=tmp_path / "front.db"))
        async with running(config) as (url, app):
            yield url, app, behind.gateway.backends["simulated"].provider


async def settled(app, count):
    """Until `count` rows are closed: the client has its answer a moment before."""
    while app.gateway.books.closed < count:
        await asyncio.sleep(0.01)
    await app.gateway.ledger.flush()


async def test_boto3_embeds_with_titan_and_pays_what_the_provider_bills(crossing):
    url, app, provider = crossing
    client = bedrock(url)
    body = json.dumps({"inputText": "Tide of Cranes, volume 3", "dimensions": 256})
    answer = await off_loop(lambda: client.invoke_model(modelId=TITAN, body=body))
    said = json.loads(answer["body"].read())
    assert len(said["embedding"]) == 256
    request = answer["ResponseMetadata"]["HTTPHeaders"]["x-request-id"]
    await settled(app, 1)
    row = await app.gateway.ledger.get(request)
    assert row.actual == row.baseline == provider.bill.nano > 0
    assert said["inputTextTokenCount"] * 20 == row.actual  # $.02 a million tokens


async def test_the_openai_client_embeds_through_a_compatible_server(crossing):
    url, app, provider = crossing
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client:
        answer = await client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=64)
    assert [len(each.embedding) for each in answer.data] == [64, 64]
    assert np.linalg.norm(answer.data[0].embedding) == pytest.approx(1, abs=1e-5)
    await settled(app, 1)
    assert provider.bill.nano == answer.usage.prompt_tokens * 20
    assert app.gateway.books.unpriced == 0


async def test_a_refused_body_is_the_providers_own_error_and_costs_nothing(crossing):
    url, app, provider = crossing
    client = bedrock(url)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        await off_loop(lambda: client.invoke_model(modelId=TITAN, body=b'{"inputText": 3}'))
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    await settled(app, 1)
    assert provider.bill.calls == 0
    assert app.gateway.books.unpriced == 0


async def test_a_body_that_names_anthropic_is_still_read(crossing):
    url, _, _ = crossing
    client = bedrock(url)
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 20,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    answer = await off_loop(
        lambda: client.invoke_model(modelId="anthropic.claude-3-haiku-20240307-v1:0", body=json.dumps(body))
    )
    assert json.loads(answer["body"].read())["role"] == "assistant"


async def test_an_unknown_path_says_which_backend_would_know_it(tmp_path):
    async with (
        serving(tmp_path) as (url, _),
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        with pytest.raises(openai.NotFoundError, match="does not answer POST /v1/responses"):
            await client.responses.create(model="auto", input="Hi")
