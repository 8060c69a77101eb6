"""A gateway over HTTP/2: the same answers, refusals and cancels, many on one connection."""

import json

from tests.server.house import Scripted, serving
from tests.server.transport.http2_client import Client
from tests.settling import eventually

CHAT = {"model": "auto", "messages": [{"role": "user", "content": "What does the bridge charge?"}]}
KEYS = "keys: [{key: key-of-alice, tenant: alice}]"


def port_of(url):
    return int(url.rpartition(":")[2])


def chat(client, *more, **fields):
    body = json.dumps({**CHAT, **fields}).encode()
    return client.post(body, ("content-type", "application/json"), *more, path="/v1/chat/completions")


async def test_answers_whole_and_streamed_come_over_one_connection(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, app):
        client = await Client.to(port_of(url))
        whole, streamed = chat(client), chat(client, stream=True)
        status, body = await client.answer(whole)
        assert (status, json.loads(body)["choices"][0]["message"]["content"]) == ("200", "Half a penny.")
        assert client.heads[whole]["x-request-id"]
        status, body = await client.answer(streamed)
        assert status == "200"
        assert client.heads[streamed]["content-type"].startswith("text/event-stream")
        assert body.rstrip().endswith(b"data: [DONE]")
        client.leave()
        await eventually(lambda: app.services.active == 0)


async def test_keys_are_looked_at_before_bodies(tmp_path):
    async with serving(tmp_path, Scripted(), extra=KEYS) as (url, _):
        client = await Client.to(port_of(url))
        id = client.ask("POST", "/v1/chat/completions", ("content-length", "100000"), end=False)
        status, body = await client.answer(id)
        assert status == "401"
        assert "API key" in json.loads(body)["error"]["message"]
        assert (await client.answer(chat(client, ("authorization", "Bearer key-of-alice"))))[0] == "200"


async def test_a_reset_lets_the_provider_go(tmp_path):
    backend = Scripted(pause=0.05)
    async with serving(tmp_path, backend) as (url, app):
        client = await Client.to(port_of(url))
        id = chat(client, stream=True)
        await client.until(lambda: bool(client.bodies[id]))
        client.h2.reset_stream(id, 8)
        client.flush()
        await eventually(lambda: backend.open == 0 and app.services.active == 0)
        assert backend.closed == 1


async def test_foreign_names_and_pages_are_refused_there_too(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, _):
        client = await Client.to(port_of(url))
        assert (await client.answer(client.ask("GET", "/v1/models", host="evil.example.com")))[0] == "403"
        refused = client.ask("GET", "/v1/models", ("origin", "http://evil.example.com"))
        assert (await client.answer(refused))[0] == "403"
        assert (await client.answer(client.ask("GET", "/v1/models")))[0] == "200"
