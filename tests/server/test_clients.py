"""The official clients, unmodified, pointed at the gateway."""

import asyncio
import base64
import json

import anthropic
import boto3
import botocore.config
import botocore.exceptions
import openai
import pytest

from tests.server.house import SONNET, TEXT, THINKING, TOOLS, Scripted, failure, serving
from tests.settling import eventually

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ASK = [{"role": "user", "content": "What is the toll?"}]
TOOL = {"type": "object", "properties": {"title": {"type": "string"}}}


def bedrock(url):
    config = botocore.config.Config(retries={"total_max_attempts": 1}, max_pool_connections=50)
    return boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=config,
        aws_access_key_id="AKIATEST", aws_secret_access_key="secret",
    )  # fmt: skip


async def off_loop(fn, *args, **kwargs):
    return await asyncio.get_running_loop().run_in_executor(None, lambda: fn(*args, **kwargs))


def aio(url, retries=0):
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=retries)


def ant(url, retries=0):
    return anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=retries)


async def test_openai_text_and_headers(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, _):
        raw = await aio(url).chat.completions.with_raw_response.create(model="strong", messages=ASK)
        answer = raw.parse()
        assert answer.choices[0].message.content == "Half a penny."
        assert answer.choices[0].finish_reason == "stop"
        assert answer.model == SONNET
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 5)
        assert raw.headers["x-hapenny-cost"] == "0.000111000"
        assert raw.headers["x-hapenny-route"] == "default"
        assert raw.headers["x-request-id"].startswith("req_")


async def test_openai_stream_with_usage(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, _):
        stream = await aio(url).chat.completions.create(
            model="strong", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Half a penny."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 17


async def test_openai_tools_streamed_in_pieces(tmp_path):
    backend = Scripted(TOOLS)
    async with serving(tmp_path, backend) as (url, _):
        tools = [{"type": "function", "function": {"name": "stock", "parameters": TOOL}}]
        stream = await aio(url).chat.completions.create(model="strong", messages=ASK, tools=tools, stream=True)
        calls = {}
        async for chunk in stream:
            for call in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
                name, arguments = calls.get(call.index, ("", ""))
                calls[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
    assert list(calls.values()) == [("stock", '{"title": "Tide of Cranes"}'), ("price", "{}")]
    assert backend.asked[0][0].tools[0].schema == TOOL


async def test_openai_image_and_system(tmp_path):
    backend = Scripted()
    async with serving(tmp_path, backend) as (url, _):
        image = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": image}}]
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
        await aio(url).chat.completions.create(model="strong", messages=messages)
    request = backend.asked[0][0]
    assert request.system[0].text == "Be brief."
    assert request.messages[0].content[1].data == PNG


async def test_anthropic_text_stream_tools_and_thinking(tmp_path):
    async with serving(tmp_path, Scripted(TOOLS)) as (url, _):
        tools = [{"name": "stock", "input_schema": TOOL}]
        async with ant(url).messages.stream(
            model="strong", max_tokens=50, messages=ASK, tools=tools, system="Be brief."
        ) as stream:
            message = await stream.get_final_message()
        assert message.stop_reason == "tool_use"
        assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
        assert message.content[1].input == {"title": "Tide of Cranes"}
    async with serving(tmp_path, Scripted(THINKING)) as (url, _):
        message = await ant(url).messages.create(model="strong", max_tokens=50, messages=ASK)
        assert message.content[0].thinking == "Hm."
        assert message.content[0].signature == "c2lnbmVk"
        assert message.content[1].text == "Yes."


async def test_anthropic_counts_tokens(tmp_path):
    async with serving(tmp_path) as (url, _):
        counted = await ant(url).messages.count_tokens(model="strong", messages=ASK)
        assert counted.input_tokens > 3


async def test_boto3_converse_and_stream(tmp_path):
    backend = Scripted(TOOLS)
    async with serving(tmp_path, backend) as (url, _):
        client = bedrock(url)
        messages = [
            {
                "role": "user",
                "content": [{"text": "What is the toll?"}, {"image": {"format": "png", "source": {"bytes": PNG}}}],
            }
        ]
        answer = await off_loop(
            client.converse,
            modelId="anthropic.claude-3-sonnet",
            messages=messages,
            system=[{"text": "Be brief."}],
            toolConfig={"tools": [{"toolSpec": {"name": "stock", "inputSchema": {"json": TOOL}}}]},
        )
        assert answer["stopReason"] == "tool_use"
        assert answer["output"]["message"]["content"][1]["toolUse"]["input"] == {"title": "Tide of Cranes"}
        assert answer["usage"]["inputTokens"] == 40
        assert backend.asked[0][0].messages[0].content[1].data == PNG

        def stream():
            return list(client.converse_stream(modelId="strong", messages=messages)["stream"])

        events = await off_loop(stream)
        assert list(events[0]) == ["messageStart"]
        assert "metadata" in events[-1]
        pieces = [e["contentBlockDelta"]["delta"] for e in events if "contentBlockDelta" in e]
        assert "".join(p["toolUse"]["input"] for p in pieces if "toolUse" in p) == '{"title": "Tide of Cranes"}{}'


async def test_boto3_invoke_model_with_native_bodies(tmp_path):
    body = json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 50,
            "messages": [{"role": "user", "content": "What is the toll?"}],
        }
    )
    async with serving(tmp_path, Scripted()) as (url, _):
        client = bedrock(url)
        answer = await off_loop(client.invoke_model, modelId="anthropic.claude-3-sonnet", body=body)
        assert json.loads(answer["body"].read())["content"][0]["text"] == "Half a penny."
        assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-output-token-count"] == "5"

        def stream():
            found = client.invoke_model_with_response_stream(modelId="anthropic.claude-3-sonnet", body=body)
            return [json.loads(event["chunk"]["bytes"]) for event in found["body"]]

        events = await off_loop(stream)
        text = "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta")
        assert text == "Half a penny."
        assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 5


OPENAI = {
    "invalid_request": openai.BadRequestError,
    "authentication": openai.AuthenticationError,
    "permission": openai.PermissionDeniedError,
    "not_found": openai.NotFoundError,
    "rate_limited": openai.RateLimitError,
    "overloaded": openai.InternalServerError,
    "internal": openai.InternalServerError,
}
ANTHROPIC = {
    "invalid_request": anthropic.BadRequestError,
    "authentication": anthropic.AuthenticationError,
    "permission": anthropic.PermissionDeniedError,
    "not_found": anthropic.NotFoundError,
    "rate_limited": anthropic.RateLimitError,
    "overloaded": anthropic.InternalServerError,
    "internal": anthropic.InternalServerError,
}
BOTO3 = {
    "invalid_request": "ValidationException",
    "permission": "AccessDeniedException",
    "not_found": "ResourceNotFoundException",
    "rate_limited": "ThrottlingException",
    "overloaded": "ServiceUnavailableException",
    "internal": "InternalServerException",
}


@pytest.mark.parametrize("kind", OPENAI)
async def test_each_error_is_the_clients_own(tmp_path, kind):
    # A gateway for each client: the queue of one that was refused would hold the next request back.
    extra = "stages: {throughput: {retry: {tries: 1}}}"
    async with serving(tmp_path, Scripted(failure=failure(kind)), extra=extra) as (url, _):
        with pytest.raises(OPENAI[kind], match=f"constructed {kind}"):
            await aio(url).chat.completions.create(model="strong", messages=ASK)
    async with serving(tmp_path, Scripted(failure=failure(kind)), extra=extra) as (url, _):
        with pytest.raises(ANTHROPIC[kind], match=f"constructed {kind}"):
            await ant(url).messages.create(model="strong", max_tokens=9, messages=ASK)
    if kind in BOTO3:
        async with serving(tmp_path, Scripted(failure=failure(kind)), extra=extra) as (url, _):
            client = bedrock(url)
            messages = [{"role": "user", "content": [{"text": "What is the toll?"}]}]
            with pytest.raises(botocore.exceptions.ClientError) as caught:
                await off_loop(client.converse, modelId="strong", messages=messages)
            assert caught.value.response["Error"]["Code"] == BOTO3[kind]


@pytest.mark.parametrize("how", ["truncated", "broken"])
async def test_a_stream_that_breaks_is_an_error_and_is_never_cached(tmp_path, how):
    half = TEXT[:4]
    backend = Scripted(half, after=failure("upstream") if how == "broken" else None)
    async with serving(tmp_path, backend) as (url, app):
        with pytest.raises(openai.APIError):
            stream = await aio(url).chat.completions.create(model="strong", messages=ASK, stream=True)
            async for _ in stream:
                pass
        with pytest.raises(anthropic.APIError):
            async with ant(url).messages.stream(model="strong", max_tokens=9, messages=ASK) as stream:
                await stream.get_final_message()

        def boto():
            client = bedrock(url)
            messages = [{"role": "user", "content": [{"text": "What is the toll?"}]}]
            return list(client.converse_stream(modelId="strong", messages=messages)["stream"])

        with pytest.raises(botocore.exceptions.EventStreamError):
            await off_loop(boto)
        assert len(app.gateway.shared.answers) == 0
        assert backend.open == 0


async def test_leaving_in_mid_stream_releases_the_upstream(tmp_path):
    backend = Scripted(TEXT[:3] + [TEXT[3]] * 200 + TEXT[4:], pause=0.01)
    async with serving(tmp_path, backend) as (url, app):
        client = aio(url)
        stream = await client.chat.completions.create(model="strong", messages=ASK, stream=True)
        async for _ in stream:
            break
        await stream.close()
        await client.close()
        await eventually(lambda: backend.open == 0)
        assert (backend.open, backend.closed) == (0, 1)
        row = await app.gateway.ledger.get(stream.response.headers["x-request-id"])
        assert row.outcome == "left"
        assert row.actual > 0
        assert [call.provenance for call in row.calls] == ["estimated"]
        assert len(app.gateway.shared.answers) == 0


async def test_a_repeated_question_is_served_from_the_cache_in_any_dialect(tmp_path):
    backend = Scripted()
    async with serving(tmp_path, backend) as (url, _):
        for _ in range(2):
            raw = await aio(url).chat.completions.with_raw_response.create(model="strong", messages=ASK, max_tokens=50)
        assert "hit" in raw.headers["Cache-Status"]
        assert raw.headers["x-hapenny-cost"] == "0.000000000"
        assert int(raw.headers["Age"]) >= 0
        stream = await aio(url).chat.completions.create(model="strong", messages=ASK, max_tokens=50, stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream if c.choices]) == "Half a penny."
        message = await ant(url).messages.create(model="strong", max_tokens=50, messages=ASK)
        assert message.content[0].text == "Half a penny."
        assert len(backend.asked) == 1
