"""Unmodified boto3, Converse: reads what our encoders write, and our decoders read what it writes."""

from __future__ import annotations

import botocore.exceptions
import pytest

from hapenny.core.errors import Failure
from hapenny.core.messages import Document, Image, Text, Thinking, ToolChoice, ToolUse
from hapenny.protocols import codec
from tests.protocols import samples
from tests.protocols.loopback import answers, fails

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
