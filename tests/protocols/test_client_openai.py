"""The official openai client: reads what our encoders write, and our decoders read what it writes."""

from __future__ import annotations

import json

import openai
import pytest

from hapenny.core.errors import Failure
from hapenny.core.messages import Document, Image, Message, Text, Thinking, ToolChoice, ToolResult, ToolUse
from hapenny.protocols import codec
from tests.protocols import samples
from tests.protocols.loopback import answers, fails

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
