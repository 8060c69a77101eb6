"""What is not understood passes through untouched, metered: embeddings and other vendors' native bodies."""

import asyncio
import contextlib
import json

import aiohttp
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
        with pytest.raises(openai.NotFoundError, match="does not answer POST /v1/moderations"):
            await client.moderations.create(model="auto", input="Hi")


@contextlib.asynccontextmanager
async def raw_provider(answer: bytes):
    """(base URL, what it was sent): a provider that answers every request with the same bytes."""
    seen = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    server.close()


async def through(base, *, path="/v1/responses/resp_1"):
    text = f'ledger: null\nbackends: {{up: {{kind: openai, base_url: "{base}/v1"}}}}\ntiers: {{fast: m, strong: m}}'
    async with (
        running(load(text=text)) as (url, _),
        aiohttp.ClientSession() as session,
        session.get(url + path, allow_redirects=False) as answer,
    ):
        return answer.status, dict(answer.headers), await answer.text()


async def test_nothing_of_the_providers_connection_or_site_reaches_the_client():
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Location: http://inside\r\nSet-Cookie: a=b\r\nServer: nginx\r\nAlt-Svc: h3\r\nx-hapenny-cost: 0\r\n"
        b"Access-Control-Allow-Origin: *\r\n"
        b"x-ratelimit-remaining: 9\r\nopenai-version: 2020-10-01\r\n\r\nok"
    )
    async with raw_provider(answer) as (base, _):
        status, headers, text = await through(base)
    assert (status, text) == (200, "ok")
    names = {name.lower() for name in headers}
    assert not names & {"x-hop", "keep-alive", "set-cookie", "server", "alt-svc", "location", "x-hapenny-cost"}
    assert not any(name.startswith("access-control-") for name in names)
    assert {"x-ratelimit-remaining", "openai-version", "x-request-id"} <= names


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n",
        b"HTTP/1.1 200 OK\r\nX : 1\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n",
    ],
)
async def test_what_is_no_answer_is_a_502(head):
    async with raw_provider(head + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}") as (base, _):
        status, headers, text = await through(base)
    assert status == 502
    assert "location" not in {name.lower() for name in headers}
    assert "evil" not in text


async def test_a_redirect_of_a_model_call_is_no_answer_either():
    text = 'ledger: null\nbackends: {up: {kind: openai, base_url: "%s/v1"}}\ntiers: {fast: m, strong: m}'
    answer = b"HTTP/1.1 307 Temporary\r\nLocation: http://evil.example/\r\nContent-Length: 2\r\n\r\n{}"
    async with (
        raw_provider(answer) as (base, seen),
        running(load(text=text % base)) as (url, _),
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError, match="redirect"):
            await client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "hi"}])
    assert all(b"evil" not in head for head in seen)
