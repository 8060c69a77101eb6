"""The official anthropic client: reads what our encoders write, and our decoders read what it writes."""

from __future__ import annotations

import anthropic
import pytest
from anthropic._exceptions import OverloadedError, RequestTooLargeError

from hapenny.core.errors import Failure
from hapenny.core.messages import Document, Image, Text, Thinking, ToolChoice, ToolResult, ToolUse
from hapenny.protocols import codec
from tests.protocols import samples
from tests.protocols.loopback import answers, fails

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
            ("overloaded", OverloadedError),
            ("too_large", RequestTooLargeError),
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
