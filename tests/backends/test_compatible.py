"""The OpenAI and Anthropic backends against real servers."""

import json
from collections.abc import AsyncIterator
from email.utils import formatdate, parsedate_to_datetime

import pytest
from aiohttp import web

from hapenny.backends.anthropic import AnthropicBackend
from hapenny.backends.http import dated
from hapenny.backends.openai import OpenAIBackend
from hapenny.backends.pool import Pool
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.events import Event, TextDelta, Tokens, Usage
from hapenny.core.exchange import Target
from tests.backends.servers import CHAT, MESSAGE, asking, chat_sse, drain, limits, message_sse, serving, stream

CLOCK = RealClock(seed=1)
GPT, HAIKU = Target("gpt-4o"), Target("claude-haiku-4-5")


@pytest.fixture()
async def pool() -> AsyncIterator[Pool]:
    made = Pool(CLOCK)
    yield made
    assert made.busy == 0, "a connection was not given back"
    await made.aclose()


def said(batches: list[list[Event]]) -> tuple[str, Tokens | None]:
    events = [event for batch in batches for event in batch]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    usage = [event.tokens for event in events if isinstance(event, Usage)]
    return text, usage[-1] if usage else None


ELEVEN = ("Half a penny", Tokens(input=11, output=4))


@pytest.mark.parametrize("streamed", [True, False])
async def test_openai(pool: Pool, streamed: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.path == "/v1/chat/completions"
        assert request.headers["authorization"] == "Bearer k"
        body = json.loads(await request.read())
        assert body["model"] == "gpt-4o"
        assert body.get("stream", False) == streamed
        return await stream(request, chat_sse(), "text/event-stream") if streamed else web.json_response(CHAT)

    async with serving(answer) as base:
        backend = OpenAIBackend("o", pool, CLOCK, base + "/v1/", "k")
        assert said(await drain(await backend.call(asking(streamed=streamed), GPT, limits(CLOCK)))) == ELEVEN
        assert await backend.count(asking(), GPT) is None


async def test_a_server_that_does_not_stream_is_asked_for_whole_answers(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert not json.loads(await request.read()).get("stream", False)
        return web.json_response(CHAT)

    async with serving(answer) as base:
        backend = OpenAIBackend("o", pool, CLOCK, base, streams=False)
        assert said(await drain(await backend.call(asking(), GPT, limits(CLOCK)))) == ELEVEN


@pytest.mark.parametrize("streamed", [True, False])
async def test_anthropic(pool: Pool, streamed: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["x-api-key"] == "k"
        assert request.headers["anthropic-version"]
        body = json.loads(await request.read())
        if request.path == "/v1/messages/count_tokens":
            assert set(body) == {"model", "messages"}
            return web.json_response({"input_tokens": 11})
        assert request.path == "/v1/messages"
        return await stream(request, message_sse(), "text/event-stream") if streamed else web.json_response(MESSAGE)

    async with serving(answer) as base:
        backend = AnthropicBackend("a", pool, CLOCK, base, "k")
        asked = asking("anthropic", streamed=streamed)
        assert said(await drain(await backend.call(asked, HAIKU, limits(CLOCK)))) == ELEVEN
        assert await backend.count(asked, HAIKU) == 11


@pytest.mark.parametrize("answered", [{}, {"input_tokens": "many"}, ["inputTokens"]])
async def test_a_count_that_is_none_is_the_providers_fault(pool: Pool, answered: object) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(answered)

    async with serving(answer) as base:
        with pytest.raises(Failure) as error:
            await AnthropicBackend("a", pool, CLOCK, base, "k").count(asking("anthropic"), HAIKU)
        assert error.value.kind == "upstream"


async def test_a_stream_cut_into_single_bytes_is_the_same_answer(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        whole = b"".join(chat_sse())
        return await stream(request, [whole[at : at + 1] for at in range(len(whole))], "text/event-stream")

    async with serving(answer) as base:
        backend = OpenAIBackend("o", pool, CLOCK, base + "/v1", "k")
        assert said(await drain(await backend.call(asking(), GPT, limits(CLOCK)))) == ELEVEN


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_a_stream_without_its_end_is_truncated(pool: Pool, kind: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        pieces = chat_sse()[:3] if kind == "openai" else message_sse()[:4]
        return await stream(request, pieces, "text/event-stream")

    async with serving(answer) as base:
        backend = (OpenAIBackend if kind == "openai" else AnthropicBackend)("x", pool, CLOCK, base, None)
        with pytest.raises(Failure) as error:
            await drain(await backend.call(asking(kind), GPT, limits(CLOCK)))  # type: ignore[arg-type]
        assert error.value.kind == "truncated"


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "provider_account"), (429, "rate_limited"), (500, "upstream"), (413, "too_large")]
)
async def test_errors(pool: Pool, status: int, kind: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = {"type": "error", "error": {"message": "no", "type": "x", "code": None}}
        return web.json_response(body, status=status, headers={"retry-after": "7"})

    async with serving(answer) as base:
        for backend in (OpenAIBackend("o", pool, CLOCK, base), AnthropicBackend("a", pool, CLOCK, base)):
            with pytest.raises(Failure) as error:
                await backend.call(asking(streamed=False), GPT, limits(CLOCK))
            assert error.value.upstream_status == status
            if status in (401, 429, 413):
                assert error.value.kind == kind
            if status == 429:
                assert error.value.retry_after == 7


async def test_a_date_to_try_again_at_counts_from_the_providers_clock(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        wrong = CLOCK.wall() - 5_000
        headers = {"date": formatdate(wrong, usegmt=True), "retry-after": formatdate(wrong + 9, usegmt=True)}
        return web.json_response({"error": {"message": "slow"}}, status=429, headers=headers)

    async with serving(answer) as base:
        with pytest.raises(Failure) as error:
            await OpenAIBackend("o", pool, CLOCK, base).call(asking(streamed=False), GPT, limits(CLOCK))
    assert error.value.retry_after == 9


def test_a_date_to_try_again_at_counts_from_our_clock_where_there_is_no_other() -> None:
    headers = dated({"retry-after": formatdate(CLOCK.wall() + 9, usegmt=True)}, CLOCK)
    assert parsedate_to_datetime(headers["date"]).timestamp() == pytest.approx(CLOCK.wall(), abs=2)
    assert dated({"date": "x", "retry-after": "1"}, CLOCK) == {"date": "x", "retry-after": "1"}
    assert dated({}, CLOCK) == {}


async def test_a_server_that_streams_whatever_it_is_asked_is_understood(pool: Pool) -> None:
    """github.com/BYK/loreai pull 605 (2026-06-07); Wei-Shaw/sub2api issue 2826 (2026-05-27): also mislabelled."""
    kinds = ["text/event-stream", "application/json"]

    async def answer(request: web.Request) -> web.StreamResponse:
        chat = request.path.endswith("completions")
        return await stream(request, chat_sse() if chat else message_sse(), kinds[0])

    async with serving(answer) as base:
        for _ in range(2):
            openai = OpenAIBackend("o", pool, CLOCK, base + "/v1", "k")
            assert said(await drain(await openai.call(asking(streamed=False), GPT, limits(CLOCK)))) == ELEVEN
            anthropic = AnthropicBackend("a", pool, CLOCK, base, "k")
            text, _ = said(await drain(await anthropic.call(asking(streamed=False), HAIKU, limits(CLOCK))))
            assert text == ELEVEN[0]
            kinds.reverse()


async def test_such_a_stream_that_was_cut_is_no_answer(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await stream(request, chat_sse()[:2], "text/event-stream")

    async with serving(answer) as base:
        with pytest.raises(Failure) as error:
            await OpenAIBackend("o", pool, CLOCK, base).call(asking(streamed=False), GPT, limits(CLOCK))
    assert error.value.kind == "truncated"


async def test_what_is_no_answer_is_an_upstream_error(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>welcome to the proxy</html>", content_type="text/html")

    async with serving(answer) as base:
        for streamed in (True, False):
            with pytest.raises(Failure) as error:
                source = await OpenAIBackend("o", pool, CLOCK, base).call(asking(streamed=streamed), GPT, limits(CLOCK))
                await drain(source)
            assert error.value.kind in ("upstream", "truncated")


async def test_forward_writes_a_shared_prefix_once(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers.getall("authorization") == ["Bearer k"]
        return web.json_response({"path": request.path, "method": request.method})

    async with serving(answer) as base:
        backend = OpenAIBackend("o", pool, CLOCK, base + "/v1", "k")
        raw = await backend.forward("GET", "/v1/models", {"authorization": "Bearer client"}, b"", limits(CLOCK))
        assert json.loads(await raw.body.read() or b"") == {"path": "/v1/models", "method": "GET"}
        raw.body.close()
