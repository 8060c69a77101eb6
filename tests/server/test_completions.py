# ruff: noqa: E501
"""`/v1/completions` (older) through the gateway, with the official client."""

from __future__ import annotations

import contextlib
import json

import aiohttp
import openai
import pytest
from aiohttp import web

from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage
from tests.backends.servers import serving as listening
from tests.server.house import Scripted, failure, serving
from tests.server.test_responses import CHAT, before, client

ENDED = [Started("msg_1", "m"), TextDelta("of cranes.", 0), Stopped("end_turn"), Usage(Tokens(input=12, output=5))]


def chunk(text, finish=None, index=0, **more):
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish, **more}
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "up",
        "choices": [choice],
        "novel": {"a": 1},
    }


WHOLE = chunk(" of cranes.", "stop", stop_reason=None, prompt_logprobs=[1]) | {
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
}
STREAM = [
    chunk(" of"),
    chunk(" cranes", novel=1),
    chunk(".", "length"),
    {**chunk(""), "choices": [], "usage": WHOLE["usage"]},
]


@contextlib.asynccontextmanager
async def provider(*, completions=True):
    """(URL, what it was asked): a server that goes on with texts, or one of chat models alone."""
    seen = []

    async def answer(request):
        body = await request.json()
        seen.append((request.path, body))
        if request.path == "/v1/chat/completions":
            return web.json_response(CHAT)
        if not completions:
            error = {
                "message": "This is a chat model and not supported in the v1/completions endpoint.",
                "type": "invalid_request_error",
                "param": "model",
                "code": None,
            }
            return web.json_response({"error": error}, status=404)
        if body.get("stream"):
            frames = "".join(f"data: {json.dumps(item)}\n\n" for item in STREAM) + "data: [DONE]\n\n"
            return web.Response(text=frames, content_type="text/event-stream")
        return web.json_response(WHOLE)

    async with listening(answer) as base:
        yield base, seen


class TestAnyBackend:
    async def test_whole(self, tmp_path):
        backend = Scripted(ENDED)
        async with serving(tmp_path, backend) as (url, _), client(url) as ask:
            raw = await ask.completions.with_raw_response.create(model="strong", prompt="Tide ", max_tokens=20)
            done = raw.parse()
        assert (done.object, done.choices[0].text, done.choices[0].finish_reason) == (
            "text_completion",
            "of cranes.",
            "stop",
        )
        assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (12, 5)
        request = backend.asked[0][0]
        assert (request.messages[0].text, request.parameters.max_tokens) == ("Tide ", 20)

    async def test_echo_and_stream(self, tmp_path):
        async with serving(tmp_path, Scripted(ENDED)) as (url, _), client(url) as ask:
            whole = await ask.completions.create(model="strong", prompt="Tide ", echo=True)
            stream = await ask.completions.create(
                model="strong", prompt="Tide ", echo=True, stream=True, stream_options={"include_usage": True}
            )
            chunks = [each async for each in stream]
        assert whole.choices[0].text == "Tide of cranes."
        assert "".join(choice.text for each in chunks for choice in each.choices) == "Tide of cranes."
        assert [choice.finish_reason for each in chunks for choice in each.choices][-1] == "stop"
        assert chunks[-1].usage.total_tokens == 17

    async def test_several_prompts_are_several_choices(self, tmp_path):
        backend = Scripted(ENDED)
        async with serving(tmp_path, backend) as (url, app), client(url) as ask:
            whole = await ask.completions.create(model="strong", prompt=["a ", "b ", "c "], echo=True)
            stream = await ask.completions.create(
                model="strong", prompt=["a ", "b "], echo=True, stream=True, stream_options={"include_usage": True}
            )
            chunks = [each async for each in stream]
            assert app.gateway.books.violations == 0
        assert [(choice.index, choice.text) for choice in whole.choices] == [
            (0, "a of cranes."), (1, "b of cranes."), (2, "c of cranes."),
        ]  # fmt: skip
        assert whole.usage.total_tokens == 51
        texts = {0: "", 1: ""}
        for each in chunks:
            for choice in each.choices:
                texts[choice.index] += choice.text
        assert texts == {0: "a of cranes.", 1: "b of cranes."}
        assert [each.usage.total_tokens for each in chunks if each.usage] == [34]

    async def test_a_later_prompt_that_fails_ends_the_stream(self, tmp_path):
        backend = Scripted(ENDED)
        async with serving(tmp_path, backend) as (url, _), client(url) as ask:
            stream = await ask.completions.create(model="strong", prompt=["a", "b"], stream=True)
            backend.failure = failure("overloaded")
            with pytest.raises(openai.APIError):
                [each async for each in stream]

    async def test_a_limit_is_the_endpoints_own_where_none_is_sent(self, tmp_path):
        async with serving(tmp_path) as (url, _), client(url) as ask:
            raw = await ask.completions.with_raw_response.create(
                model="strong", prompt="Tell me all about cranes.", logprobs=2
            )
        assert raw.parse().usage.completion_tokens <= 16
        assert "logprobs" in raw.headers["x-hapenny-notes"]
        assert "turn of the user" in raw.headers["x-hapenny-notes"]

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"prompt": "x", "suffix": "y"}, "suffix"), ({"prompt": [1, 2]}, "prompt"), ({"prompt": []}, "prompt"),
            ({"prompt": ["a", 1]}, "prompt[1]"), ({"prompt": "x", "echo": "y"}, "echo"), ({"prompt": "x", "n": 2}, "n"),
        ],
    )  # fmt: skip
    async def test_what_cannot_be_asked_names_its_field(self, tmp_path, fields, param):
        async with serving(tmp_path) as (url, _), client(url) as ask:
            with pytest.raises(openai.BadRequestError) as refused:
                await ask.completions.create(model="strong", **fields)
        assert refused.value.param == param

    async def test_no_question_is_answered_with_a_text_that_goes_on(self, tmp_path):
        backend = Scripted(ENDED)
        async with serving(tmp_path, backend) as (url, _), client(url) as ask:
            await ask.completions.create(model="strong", prompt="x", temperature=0)
            await ask.chat.completions.create(
                model="strong", messages=[{"role": "user", "content": "x"}], temperature=0
            )
            await ask.completions.create(model="strong", prompt="x", temperature=0)
        assert len(backend.asked) == 2


class TestOpenAIBackend:
    async def test_nothing_is_lost(self, tmp_path):
        body = {
            "model": "mine", "prompt": "Tide", "suffix": "y", "echo": True, "logprobs": 2, "best_of": 2, "max_tokens": 5,
            "stop": ["a"], "min_p": 0.1, "user": "u",
        }  # fmt: skip
        async with provider() as (base, seen), before(base, tmp_path) as (url, _), aiohttp.ClientSession() as session:
            async with session.post(url + "/v1/completions", json=body) as answer:
                whole = await answer.json()
            async with session.post(url + "/v1/completions", json={**body, "stream": True}) as answer:
                text = await answer.text()
        assert seen[0] == ("/v1/completions", {**body, "model": "up-model"})
        assert whole["choices"][0]["prompt_logprobs"] == [1]
        assert (whole["novel"], whole["choices"][0]["text"]) == ({"a": 1}, " of cranes.")
        frames = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        assert frames == STREAM[:3]

    async def test_tokens_go_to_a_server_that_knows_them(self, tmp_path):
        async with provider() as (base, seen), before(base, tmp_path) as (url, _), client(url) as ask:
            await ask.completions.create(model="mine", prompt=[1, 2, 3])
        assert seen[0][1]["prompt"] == [1, 2, 3]

    async def test_a_chat_model_is_asked_by_chat(self, tmp_path):
        async with provider(completions=False) as (base, seen), before(base, tmp_path) as (url, _), client(url) as ask:
            for _ in range(2):
                done = await ask.completions.create(model="mine", prompt="Tide", max_tokens=5)
                assert done.choices[0].text == "By chat."
        assert [path for path, _ in seen] == ["/v1/completions", "/v1/chat/completions", "/v1/chat/completions"]
