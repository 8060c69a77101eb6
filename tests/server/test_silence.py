"""A model that thinks without a word: its client is told that it goes on, and then nothing is tried again."""

import asyncio
import json

import pytest
from aiohttp import web

from hapenny.config import load
from tests.backends.servers import serving as upstream
from tests.server.house import running
from tests.server.transport.house import Client

CONFIG = """
server: {{keep_alive_s: 0.03}}
backends:
  openai: {{kind: openai, base_url: "{base}/v1", api_key: k}}
  anthropic: {{kind: anthropic, base_url: "{base}", api_key: k}}
models: {{gpt: {{id: gpt-4o, backend: openai}}, claude: {{id: claude-sonnet-4-5, backend: anthropic}}}}
tiers: {{fast: gpt, strong: gpt}}
routes: {{default: {{holdout: 0, begin_s: {begin}, head_after_s: {head}, idle_s: {idle}}}}}
ledger: null
{more}
"""


def chunk(delta: dict[str, object], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                                   "choices": [choice]}).encode() + b"\n\n"  # fmt: skip


class Thinker:
    """Accepts at once, sends what comes before the first word, and the rest when told."""

    def __init__(self, before: bytes = b"") -> None:
        self.before = before
        self.go = asyncio.Event()
        self.calls = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(self.before)
        await self.go.wait()
        for piece in (chunk({"role": "assistant", "content": "done"}), chunk({}, "stop"), b"data: [DONE]\n\n"):
            await response.write(piece)
        return response


def ask(path: str, model: str) -> bytes:
    if path.startswith("/model/"):
        body: dict[str, object] = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    else:
        body = {"model": model, "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def config(base: str, *, begin: float = 30, head: float = 0.02, idle: float = 60, more: str = "") -> str:
    return CONFIG.format(base=base, begin=begin, head=head, idle=idle, more=more)


@pytest.mark.parametrize(
    ("path", "ping"),
    [("/v1/chat/completions", b": keep-alive\n\n"), ("/v1/messages", b'event: ping\ndata: {"type": "ping"}\n\n')],
)
async def test_a_silent_stream_has_its_head_and_keep_alives_and_then_its_answer(path, ping):
    thinker = Thinker()
    async with upstream(thinker) as base, running(load(text=config(base, begin=5))) as (url, _):
        client = (await Client.to(int(url.rpartition(":")[2]))).say(ask(path, "gpt"))
        came = await client.until(ping, 2)
        assert came.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"done" not in came
        thinker.go.set()
        assert b"done" in await client.end()
        assert thinker.calls == 1


async def test_what_a_provider_says_to_keep_alive_is_no_word_to_the_client_who_gets_one_of_ours():
    go = asyncio.Event()

    async def thinker(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(chunk({"role": "assistant", "content": "well"}))
        while not go.is_set():
            await response.write(b": thinking\n\n")
            await asyncio.sleep(0.005)
        for piece in (chunk({"content": " done"}), chunk({}, "stop"), b"data: [DONE]\n\n"):
            await response.write(piece)
        return response

    async with upstream(thinker) as base, running(load(text=config(base, begin=5))) as (url, _):
        client = (await Client.to(int(url.rpartition(":")[2]))).say(ask("/v1/chat/completions", "gpt"))
        came = await client.until(b": keep-alive\n\n", 2)
        assert b"well" in came
        go.set()
        assert b"done" in await client.end()


async def test_event_streams_have_no_word_for_it_but_a_head():
    thinker = Thinker()
    async with upstream(thinker) as base, running(load(text=config(base))) as (url, _):
        client = (await Client.to(int(url.rpartition(":")[2]))).say(ask("/model/gpt/converse-stream", "gpt"))
        came = await client.until(b"\r\n\r\n")
        assert came.startswith(b"HTTP/1.1 200 OK\r\n")
        await asyncio.sleep(0.1)  # three times the pause after which others get a keep-alive
        thinker.go.set()
        came = await client.end()
        assert b"ping" not in came
        assert b"done" in came


async def test_what_the_provider_keeps_alive_is_not_given_up_before_its_first_word():
    async def thinker(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(10):
            await response.write(b": thinking\n\n")
            await asyncio.sleep(0.05)
        for piece in (chunk({"role": "assistant", "content": "done"}), chunk({}, "stop"), b"data: [DONE]\n\n"):
            await response.write(piece)
        return response

    # It has less time for its first byte than it needs for its first word, and pauses less than it may.
    async with upstream(thinker) as base, running(load(text=config(base, begin=0.3, idle=0.3))) as (url, _):
        client = (await Client.to(int(url.rpartition(":")[2]))).say(ask("/v1/chat/completions", "gpt"))
        assert b"done" in await client.end()


@pytest.mark.parametrize("before", [b"", chunk({"role": "assistant", "content": "well"})])
async def test_a_provider_that_says_nothing_more_ends_at_the_idle_limit_in_the_clients_words(before):
    thinker = Thinker(before)
    async with upstream(thinker) as base, running(load(text=config(base, idle=0.2))) as (url, _):
        client = (await Client.to(int(url.rpartition(":")[2]))).say(ask("/v1/chat/completions", "gpt"))
        came = await client.end()
        assert came.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'"error"' in came
        assert b"no event for" in came
        assert thinker.calls == 1  # the client was told: nothing is tried again
        thinker.go.set()


async def test_a_provider_that_does_not_even_accept_is_tried_again():
    calls = []

    async def deaf(request: web.Request) -> web.StreamResponse:
        calls.append(request)
        if len(calls) == 1:
            return web.Response(status=503)
        thinker = Thinker()
        thinker.go.set()
        return await thinker(request)

    async with upstream(deaf) as base, running(load(text=config(base))) as (url, _):
        client = (await Client.to(int(url.rpartition(":")[2]))).say(ask("/v1/chat/completions", "gpt"))
        assert b"done" in await client.end()
        assert len(calls) == 2


async def test_readers_of_one_call_are_told_as_well():
    thinker = Thinker()
    async with upstream(thinker) as base, running(load(text=config(base))) as (url, _):
        body = ask("/v1/chat/completions", "gpt").replace(b'"max_tokens": 9', b'"temperature":0')
        clients = [(await Client.to(int(url.rpartition(":")[2]))).say(body) for _ in range(3)]
        for client in clients:
            await client.until(b": keep-alive\n\n")
        thinker.go.set()
        assert all([b"done" in await client.end() for client in clients])
        assert thinker.calls == 1


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ("", 1.0),
        ("fallbacks: {strong: [fast]}", 5.0),
        ("stages: {throughput: {models: {gpt-4o: {hedge: true}}}}", 5.0),
    ],
)
def test_where_something_may_step_in_it_gets_a_chance(more, seconds):
    from hapenny.gateway.limits import head_after

    deployment = load(text=config("http://127.0.0.1:9", more=more).replace("head_after_s: 0.02, ", ""))
    assert head_after(deployment, deployment.routes["default"]) == seconds
    cascades = load(text="routes: {default: {stages: {cascade: 'on'}}}")
    assert head_after(cascades, cascades.routes["default"]) == 5.0
