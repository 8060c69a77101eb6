"""The official clients read what our encoders write, and our decoders read what the official clients write."""

from __future__ import annotations

import json

import anthropic
import boto3
import botocore.exceptions
import openai
import pytest
from botocore.config import Config

from hapenny.core.errors import Failure
from hapenny.core.messages import Document, Image, Message, Text, Thinking, ToolChoice, ToolResult, ToolUse
from hapenny.protocols import codec
from tests.protocols import samples
from tests.protocols.loopback import loopback


@pytest.fixture(scope="module")
def server():
    with loopback() as running:
        yield running


@pytest.fixture(scope="module")
def gpt(server):
    return openai.OpenAI(api_key="k", base_url=server.url + "/v1", max_retries=0)


@pytest.fixture(scope="module")
def claude(server):
    return anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0)


@pytest.fixture(scope="module")
def bedrock(server):
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=server.url,
        aws_access_key_id="AKID",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}, tcp_keepalive=False),
    )


def answers(server, name, events):
    """Makes the server answer with `events`, streamed or whole as the request asks."""
    server.seen.clear()
    talk = codec(name)

    def reply(seen):
        path = seen.path
        stream = None if name in ("openai", "anthropic") else "stream" in path.rsplit("/", 1)[1]
        model = None if stream is None else "anthropic.m"
        request = talk.decode_request(seen.body, model=model, stream=stream, headers=seen.headers)
        server.request = request
        if not request.stream:
            completion = samples.collected(events)
            return 200, talk.answer_headers(completion, request), talk.encode_answer(completion, request)
        encoder = talk.encoder(request)
        body = b"".join([encoder.encode(events[:3]), encoder.ping(), encoder.encode(events[3:])])
        body += encoder.note({"saved": "0.1"}) + encoder.end()
        return 200, {"content-type": encoder.content_type}, body

    server.reply = reply


def fails(server, name, failure):
    server.reply = lambda _: codec(name).encode_error(failure, "req_1")


CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class TestOpenAI:
    def test_whole_text(self, server, gpt):
        answers(server, "openai", samples.text_answer())
        done = gpt.chat.completions.create(**CHAT)
        assert done.choices[0].message.content == 'Hello, wörld \U0001f600 "quoted"\n'
        assert done.choices[0].finish_reason == "stop"
        assert (done.id, done.model, done.created) == ("msg_1", "some-model", 1700000000)
        assert done.usage.prompt_tokens == 136
        assert done.usage.prompt_tokens_details.cached_tokens == 100
        assert done.usage.total_tokens == 143

    def test_whole_tools(self, server, gpt):
        answers(server, "openai", samples.tool_answer())
        message = gpt.chat.completions.create(**CHAT).choices[0].message
        assert [(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls] == [
            ("call_a", "weather", {"place": "Dublin"}),
            ("call_b", "weather", {"place": "Cork"}),
        ]

    def test_stream_helper_collects_text_and_usage(self, server, gpt):
        answers(server, "openai", samples.text_answer())
        with gpt.chat.completions.stream(**CHAT, stream_options={"include_usage": True}) as stream:
            kinds = [event.type for event in stream]
            done = stream.get_final_completion()
        assert done.choices[0].message.content == 'Hello, wörld \U0001f600 "quoted"\n'
        assert "content.done" in kinds
        assert done.usage.completion_tokens == 7

    def test_stream_without_usage_sends_none(self, server, gpt):
        answers(server, "openai", samples.text_answer())
        chunks = list(gpt.chat.completions.create(**CHAT, stream=True))
        assert all(chunk.usage is None and chunk.choices for chunk in chunks)

    def test_stream_helper_collects_tools(self, server, gpt):
        answers(server, "openai", samples.tool_answer())
        tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
        with gpt.chat.completions.stream(**CHAT, tools=[tool]) as stream:
            list(stream)
            message = stream.get_final_completion().choices[0].message
        assert [(c.id, c.function.arguments) for c in message.tool_calls] == [
            ("call_a", '{"place": "Dublin"}'),
            ("call_b", '{"place": "Cork"}'),
        ]
        assert message.content == "Let me look."

    def test_thinking_comes_back_with_its_signature(self, server, gpt):
        answers(server, "openai", samples.thinking_answer())
        message = gpt.chat.completions.create(**CHAT).choices[0].message
        gpt.chat.completions.create(model="m", messages=[*CHAT["messages"], message, CHAT["messages"][0]])
        assert server.request.messages[1].content == (
            Thinking("First then.", "c2ln"),
            Thinking(redacted="c2VjcmV0"),
            Text("Done."),
        )

    def test_request(self, server, gpt):
        answers(server, "openai", samples.text_answer())
        gpt.chat.completions.create(
            model="m",
            messages=[
                {"role": "developer", "content": "be brief"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
                        {
                            "type": "file",
                            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            ],
            tools=[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
            tool_choice={"type": "function", "function": {"name": "weather"}},
            parallel_tool_calls=False,
            max_completion_tokens=9,
            temperature=0,
            stop=["x", "y"],
            logit_bias={"5": 1},
            user="u1",
            metadata={"feature": "search"},
        )
        request = server.request
        assert request.system == (Text("be brief", extras={"role": "developer"}),)
        assert request.messages == (
            Message(
                "user",
                (
                    Text("look"),
                    Image("image/png", b"hi", detail="low"),
                    Document("application/pdf", b"hi", name="a.pdf"),
                ),
            ),
            Message("assistant", (ToolUse("c1", "weather", '{"a": 1}'),)),
            Message("tool", (ToolResult("c1", (Text("rain"),)),)),
        )
        assert request.tool_choice == ToolChoice("tool", "weather", False)
        assert request.parameters.max_tokens == 9
        assert request.parameters.temperature == 0.0
        assert request.parameters.stop == ("x", "y")
        assert request.extras == {"logit_bias": {"5": 1}}
        assert (request.user, request.metadata) == ("u1", {"feature": "search"})

    @pytest.mark.parametrize(
        ("kind", "error"),
        [
            ("invalid_request", openai.BadRequestError),
            ("context_overflow", openai.BadRequestError),
            ("authentication", openai.AuthenticationError),
            ("permission", openai.PermissionDeniedError),
            ("not_found", openai.NotFoundError),
            ("conflict", openai.ConflictError),
            ("rate_limited", openai.RateLimitError),
            ("internal", openai.InternalServerError),
            ("overloaded", openai.InternalServerError),
            ("budget", openai.APIStatusError),
            ("too_large", openai.APIStatusError),
        ],
    )
    def test_errors(self, server, gpt, kind, error):
        fails(server, "openai", Failure(kind, "no", field="messages", fix="less"))
        with pytest.raises(error) as caught:
            gpt.chat.completions.create(**CHAT)
        assert caught.value.request_id == "req_1"
        assert caught.value.param == "messages"
        assert "less" in str(caught.value)

    def test_an_error_in_the_stream_raises(self, server, gpt):
        encoder = codec("openai").encoder(samples.ask(stream=True))
        body = encoder.encode(samples.text_answer()[:3]) + encoder.error(Failure("overloaded", "full"), "req_1")
        server.reply = lambda _: (200, {"content-type": encoder.content_type}, body)
        with pytest.raises(openai.APIError, match="full"):
            list(gpt.chat.completions.create(**CHAT, stream=True))

    def test_retry_after_is_honoured(self, server):
        calls = []

        def reply(seen):
            calls.append(seen)
            if len(calls) == 1:
                return codec("openai").encode_error(Failure("rate_limited", "slow", retry_after=0.001), "r")
            return 200, {"content-type": "application/json"}, done

        done = codec("openai").encode_answer(samples.collected(samples.text_answer()), samples.ask())
        server.reply = reply
        client = openai.OpenAI(api_key="k", base_url=server.url, max_retries=1)
        assert client.chat.completions.create(**CHAT).id == "msg_1"

    def test_a_spent_budget_is_not_retried(self, server):
        server.seen.clear()
        fails(server, "openai", Failure("budget", "spent"))
        with pytest.raises(openai.APIStatusError):
            openai.OpenAI(api_key="k", base_url=server.url, max_retries=3).chat.completions.create(**CHAT)
        assert len(server.seen) == 1


MESSAGE = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


class TestAnthropic:
    def test_whole_text(self, server, claude):
        answers(server, "anthropic", samples.text_answer())
        done = claude.messages.create(**MESSAGE)
        assert done.content[0].text == 'Hello, wörld \U0001f600 "quoted"\n'
        assert (done.id, done.model, done.stop_reason) == ("msg_1", "some-model", "end_turn")
        assert (done.usage.input_tokens, done.usage.cache_read_input_tokens) == (11, 100)
        assert done.usage.cache_creation_input_tokens == 25
        assert done.usage.cache_creation.ephemeral_1h_input_tokens == 5

    def test_stream_collects_to_the_same_message(self, server, claude):
        for sample in (samples.text_answer, samples.tool_answer, samples.thinking_answer):
            answers(server, "anthropic", sample())
            whole = claude.messages.create(**MESSAGE)
            with claude.messages.stream(**MESSAGE) as stream:
                streamed = stream.get_final_message()
            blocks = [block.model_dump(exclude={"parsed_output"}) for block in streamed.content]
            assert blocks == [block.model_dump() for block in whole.content]
            assert streamed.stop_reason == whole.stop_reason
            assert streamed.stop_sequence == whole.stop_sequence
            assert streamed.usage.output_tokens == whole.usage.output_tokens
            assert streamed.usage.cache_read_input_tokens == whole.usage.cache_read_input_tokens

    def test_thinking(self, server, claude):
        answers(server, "anthropic", samples.thinking_answer())
        done = claude.messages.create(**MESSAGE)
        assert [block.type for block in done.content] == ["thinking", "redacted_thinking", "text"]
        assert (done.content[0].thinking, done.content[0].signature) == ("First then.", "c2ln")
        assert done.content[1].data == "c2VjcmV0"
        assert (done.stop_reason, done.stop_sequence) == ("stop_sequence", "END")

    def test_request(self, server, claude):
        answers(server, "anthropic", samples.text_answer())
        claude.messages.create(
            model="m",
            max_tokens=9,
            system=[{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                        {
                            "type": "document",
                            "source": {"type": "text", "media_type": "text/plain", "data": "words"},
                            "title": "T",
                            "citations": {"enabled": True},
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"a": 1}},
                    ],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "rain"}]},
            ],
            tools=[{"name": "weather", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
            thinking={"type": "enabled", "budget_tokens": 1024},
            metadata={"user_id": "u1"},
            extra_headers={"anthropic-beta": "x-1,y-2"},
        )
        request = server.request
        assert request.system == (Text("be brief", "1h"),)
        assert request.messages[0].content == (
            Text("look", "default"),
            Image("image/png", b"hi"),
            Document("text/plain", text="words", name="T", citations=True),
        )
        assert request.messages[1].content == (Thinking("hm", "c2ln"), ToolUse("c1", "weather", '{"a":1}'))
        assert request.messages[2].content == (ToolResult("c1", (Text("rain"),)),)
        assert request.tools[0].checkpoint == "default"
        assert request.tool_choice == ToolChoice("any", None, False)
        assert request.parameters.thinking.budget == 1024
        assert request.user == "u1"
        assert request.extras == {"anthropic_beta": ["x-1", "y-2"]}

    @pytest.mark.parametrize(
        ("kind", "error"),
        [
            ("invalid_request", anthropic.BadRequestError),
            ("context_overflow", anthropic.BadRequestError),
            ("authentication", anthropic.AuthenticationError),
            ("permission", anthropic.PermissionDeniedError),
            ("not_found", anthropic.NotFoundError),
            ("rate_limited", anthropic.RateLimitError),
            ("internal", anthropic.InternalServerError),
            ("overloaded", anthropic._exceptions.OverloadedError),
            ("too_large", anthropic._exceptions.RequestTooLargeError),
            ("budget", anthropic.APIStatusError),
        ],
    )
    def test_errors(self, server, claude, kind, error):
        fails(server, "anthropic", Failure(kind, "no", fix="less"))
        with pytest.raises(error, match="less") as caught:
            claude.messages.create(**MESSAGE)
        assert caught.value.request_id == "req_1"

    def test_an_error_in_the_stream_raises(self, server, claude):
        encoder = codec("anthropic").encoder(samples.ask("anthropic", stream=True))
        body = encoder.encode(samples.text_answer()[:3]) + encoder.error(Failure("overloaded", "full"), "req_1")
        server.reply = lambda _: (200, {"content-type": encoder.content_type}, body)
        with pytest.raises(anthropic.APIStatusError, match="full"), claude.messages.stream(**MESSAGE) as stream:
            stream.get_final_message()


CONVERSE = {"modelId": "anthropic.m", "messages": [{"role": "user", "content": [{"text": "hi"}]}]}


class TestBedrock:
    def test_whole_answers(self, server, bedrock):
        answers(server, "bedrock", samples.text_answer())
        done = bedrock.converse(**CONVERSE)
        assert done["output"]["message"] == {
            "role": "assistant",
            "content": [{"text": 'Hello, wörld \U0001f600 "quoted"\n'}],
        }
        assert done["stopReason"] == "end_turn"
        assert done["usage"] == {
            "inputTokens": 11,
            "outputTokens": 7,
            "totalTokens": 143,
            "cacheReadInputTokens": 100,
            "cacheWriteInputTokens": 25,
            "cacheDetails": [{"ttl": "5m", "inputTokens": 20}, {"ttl": "1h", "inputTokens": 5}],
        }
        assert done["metrics"] == {"latencyMs": 0}

    def test_whole_tools_and_thinking(self, server, bedrock):
        answers(server, "bedrock", samples.tool_answer())
        content = bedrock.converse(**CONVERSE)["output"]["message"]["content"]
        assert content[1:] == [
            {"toolUse": {"toolUseId": "call_a", "name": "weather", "input": {"place": "Dublin"}}},
            {"toolUse": {"toolUseId": "call_b", "name": "weather", "input": {"place": "Cork"}}},
        ]
        answers(server, "bedrock", samples.thinking_answer())
        content = bedrock.converse(**CONVERSE)["output"]["message"]["content"]
        assert content[:2] == [
            {"reasoningContent": {"reasoningText": {"text": "First then.", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": b"secret"}},
        ]

    def test_stream(self, server, bedrock):
        answers(server, "bedrock", samples.tool_answer())
        events = list(bedrock.converse_stream(**CONVERSE)["stream"])
        names = [next(iter(event)) for event in events]
        assert names[0] == "messageStart"
        assert names[-2:] == ["messageStop", "metadata"]
        assert (
            "".join(
                event["contentBlockDelta"]["delta"]["toolUse"]["input"]
                for event in events
                if event.get("contentBlockDelta", {}).get("contentBlockIndex") == 1
            )
            == '{"place": "Dublin"}'
        )
        starts = [event["contentBlockStart"] for event in events if "contentBlockStart" in event]
        assert [start["start"]["toolUse"]["toolUseId"] for start in starts] == ["call_a", "call_b"]
        assert names.count("contentBlockStop") == 3
        assert events[-1]["metadata"]["usage"]["totalTokens"] == 143

    def test_request(self, server, bedrock):
        answers(server, "bedrock", samples.text_answer())
        bedrock.converse(
            modelId="arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.m",
            system=[{"text": "be brief"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"text": "look"},
                        {"cachePoint": {"type": "default"}},
                        {"image": {"format": "png", "source": {"bytes": b"hi"}}},
                        {"document": {"format": "pdf", "name": "a", "source": {"bytes": b"hi"}}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                        {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"a": 1}}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"toolResult": {"toolUseId": "c1", "content": [{"json": {"r": 1}}], "status": "error"}}
                    ],
                },
            ],
            toolConfig={
                "tools": [
                    {"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}},
                    {"cachePoint": {"type": "default"}},
                ],
                "toolChoice": {"tool": {"name": "weather"}},
            },
            inferenceConfig={"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
            additionalModelRequestFields={"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}, "z": 1},
            requestMetadata={"feature": "search"},
            guardrailConfig={"guardrailIdentifier": "g", "guardrailVersion": "1"},
            performanceConfig={"latency": "optimized"},
            serviceTier={"type": "flex"},
        )
        seen = server.seen[-1]
        assert seen.path.startswith("/model/arn%3Aaws%3Abedrock")
        request = server.request
        assert request.system == (Text("be brief", "1h"),)
        assert request.messages[0].content == (
            Text("look", "default"),
            Image("image/png", b"hi"),
            Document("application/pdf", b"hi", name="a"),
        )
        assert request.messages[1].content == (Thinking("hm", "c2ln"), ToolUse("c1", "weather", '{"a":1}'))
        assert request.messages[2].content[0].error
        assert request.tools[0].checkpoint == "default"
        assert request.tool_choice == ToolChoice("tool", "weather")
        assert (request.parameters.top_k, request.parameters.thinking.budget) == (5, 1024)
        assert (request.parameters.latency, request.parameters.service_tier) == ("optimized", "flex")
        assert request.metadata == {"feature": "search"}
        assert request.extras == {
            "additionalModelRequestFields": {"z": 1},
            "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        }

    @pytest.mark.parametrize(
        ("kind", "code", "status"),
        [
            ("invalid_request", "ValidationException", 400),
            ("authentication", "AccessDeniedException", 403),
            ("budget", "ServiceQuotaExceededException", 400),
            ("not_found", "ResourceNotFoundException", 404),
            ("rate_limited", "ThrottlingException", 429),
            ("timeout", "ModelTimeoutException", 408),
            ("model_error", "ModelErrorException", 424),
            ("overloaded", "ServiceUnavailableException", 503),
            ("internal", "InternalServerException", 500),
        ],
    )
    def test_errors(self, server, bedrock, kind, code, status):
        fails(server, "bedrock", Failure(kind, "no", fix="less"))
        with pytest.raises(getattr(bedrock.exceptions, code), match="less") as caught:
            bedrock.converse(**CONVERSE)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
        assert caught.value.response["ResponseMetadata"]["RequestId"] == "req_1"

    def test_an_error_in_the_stream_raises(self, server, bedrock):
        encoder = codec("bedrock").encoder(samples.ask("bedrock", stream=True))
        body = encoder.encode(samples.text_answer()[:3]) + encoder.error(Failure("rate_limited", "full"), "req_1")
        server.reply = lambda _: (200, {"content-type": encoder.content_type}, body)
        with pytest.raises(botocore.exceptions.EventStreamError, match="full") as caught:
            list(bedrock.converse_stream(**CONVERSE)["stream"])
        assert caught.value.response["Error"]["Code"] == "throttlingException"


NATIVE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


class TestInvoke:
    def test_whole(self, server, bedrock):
        answers(server, "invoke", samples.tool_answer())
        done = bedrock.invoke_model(modelId="anthropic.m", body=json.dumps(NATIVE))
        body = json.loads(done["body"].read())
        assert body["content"][1] == {
            "type": "tool_use",
            "id": "call_a",
            "name": "weather",
            "input": {"place": "Dublin"},
        }
        headers = done["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-amzn-bedrock-input-token-count"] == "11"
        assert headers["x-amzn-bedrock-output-token-count"] == "7"

    def test_stream(self, server, bedrock):
        answers(server, "invoke", samples.text_answer())
        done = bedrock.invoke_model_with_response_stream(modelId="anthropic.m", body=json.dumps(NATIVE))
        events = [json.loads(event["chunk"]["bytes"]) for event in done["body"] if "chunk" in event]
        text = "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta")
        assert text == 'Hello, wörld \U0001f600 "quoted"\n'
        assert events[-1]["type"] == "message_stop"
        assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 7

    def test_anthropics_own_bedrock_client(self, server):
        client = anthropic.AnthropicBedrock(
            aws_access_key="AKID", aws_secret_key="secret", aws_region="us-east-1", base_url=server.url, max_retries=0
        )
        answers(server, "invoke", samples.thinking_answer())
        done = client.messages.create(**{**MESSAGE, "model": "anthropic.m"}, extra_headers={"anthropic-beta": "b-1"})
        assert done.content[0].signature == "c2ln"
        answers(server, "invoke", samples.text_answer())
        with client.messages.stream(**{**MESSAGE, "model": "anthropic.m"}) as stream:
            assert stream.get_final_message().content[0].text == 'Hello, wörld \U0001f600 "quoted"\n'

    def test_request_headers(self, server, bedrock):
        answers(server, "invoke", samples.text_answer())
        bedrock.invoke_model(
            modelId="anthropic.m",
            body=json.dumps({**NATIVE, "anthropic_beta": ["b-1"], "novel": 1}),
            guardrailIdentifier="g1",
            guardrailVersion="2",
            performanceConfigLatency="optimized",
        )
        request = server.request
        assert request.parameters.latency == "optimized"
        assert request.extras == {
            "anthropic_beta": ["b-1"],
            "novel": 1,
            "x-amzn-bedrock-guardrailidentifier": "g1",
            "x-amzn-bedrock-guardrailversion": "2",
        }
        wire = codec("invoke").encode_request(request, model="anthropic.m")
        assert wire.headers["x-amzn-bedrock-guardrailidentifier"] == "g1"
        assert json.loads(wire.body) == {**NATIVE, "anthropic_beta": ["b-1"], "novel": 1}

    def test_errors(self, server, bedrock):
        fails(server, "invoke", Failure("rate_limited", "slow"))
        with pytest.raises(bedrock.exceptions.ThrottlingException):
            bedrock.invoke_model(modelId="anthropic.m", body=json.dumps(NATIVE))
