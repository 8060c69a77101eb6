"""The end of a server: what is under way ends in peace, and what does not is told."""

import json

import anthropic
import openai
import pytest

from hapenny.core.events import TextDelta
from tests.server.house import SONNET, Scripted, serving
from tests.server.transport.house import Client
from tests.settling import eventually

ENDLESS = [TextDelta(f"{number} ", 0) for number in range(10_000)]


def ask(path: str, *, stream: bool) -> bytes:
    if path.startswith("/model/"):
        body: dict[str, object] = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    else:
        body = {"model": SONNET, "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/chat/completions", b'"code":"unavailable"'),
        ("/v1/messages", b"event: error"),
        (f"/model/{SONNET}/converse-stream", b"serviceUnavailableException"),
    ],
)
async def test_a_stream_that_is_cut_is_told_in_its_own_words(tmp_path, path, words):
    from hapenny.core.events import BlockStarted, Started

    backend = Scripted([Started("m", SONNET), BlockStarted(0, "text"), *ENDLESS], pause=0.01)
    async with serving(tmp_path, backend, preset="safe", extra="server: {drain_s: 0.05}") as (url, app):
        client = (await Client.to(int(url.rpartition(":")[2]))).say(ask(path, stream=True))
        await client.until(b"1 ")
        app.gateway.config.server.drain_s = 0.05
        await app.stop()
        came = await client.end()
        assert words in came
        assert came.endswith(b"0\r\n\r\n")
        assert backend.open == 0
    row = _row(tmp_path)
    assert row == ("failed", "unavailable")


async def test_who_waits_for_a_whole_answer_is_refused_in_its_own_words(tmp_path):
    backend = Scripted(ENDLESS, pause=0.01)
    async with serving(tmp_path, backend, preset="safe") as (url, app):
        clients = []
        for path in ("/v1/chat/completions", "/v1/messages"):
            clients.append((await Client.to(int(url.rpartition(":")[2]))).say(ask(path, stream=False)))
        await eventually(lambda: app.services.active == 2 and backend.open)
        app.gateway.config.server.drain_s = 0.05
        await app.stop()
        first, second = [await client.end() for client in clients]
        assert first.startswith(b"HTTP/1.1 503 ")
        assert b"shutting down" in first
        assert b"retry-after" in first
        assert json.loads(second.partition(b"\r\n\r\n")[2])["type"] == "error"


async def test_the_official_clients_know_it_for_what_it_is(tmp_path):
    from hapenny.core.events import BlockStarted, Started

    backend = Scripted([Started("m", SONNET), BlockStarted(0, "text"), *ENDLESS], pause=0.01)
    async with serving(tmp_path, backend, preset="safe") as (url, app):
        one = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
        other = anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0)
        messages = [{"role": "user", "content": "hi"}]
        chunks = await one.chat.completions.create(model=SONNET, messages=messages, stream=True)
        events = await other.messages.create(model=SONNET, messages=messages, max_tokens=9, stream=True)
        await anext(chunks.__aiter__())
        await anext(events.__aiter__())
        app.gateway.config.server.drain_s = 0.05
        await app.stop()
        with pytest.raises(openai.APIError, match="shutting down"):
            async for _ in chunks:
                pass
        with pytest.raises(anthropic.APIStatusError, match="shutting down"):
            async for _ in events:
                pass
        await one.close()
        await other.close()


def _row(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "ledger.db") as ledger:
        return ledger.execute("select outcome, failure from requests").fetchone()
