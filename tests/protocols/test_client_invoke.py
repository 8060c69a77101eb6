"""Unmodified boto3 and Anthropic's own Bedrock client, InvokeModel: they read what we write, and we what they write."""

from __future__ import annotations

import json

import anthropic
import pytest

from hapenny.core.errors import Failure
from hapenny.protocols import codec
from tests.protocols import samples
from tests.protocols.loopback import answers, fails

MESSAGE = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
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
