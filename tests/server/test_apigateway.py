"""A WebSocket API of API Gateway: events in, pieces posted to its connections, signed; gone clients cancel."""

import asyncio
import contextlib
import json

import aiohttp
import pytest
from aiohttp import web

from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage
from hapenny.server.endpoints.apigateway import FRAME_BYTES, pieces
from tests.server.house import Scripted, serving
from tests.settling import eventually

QUESTION = json.dumps({"type": "message", "turn": "1", "content": "Which bridge in Dublin charged half a penny?"})


@contextlib.asynccontextmanager
async def connections(status=200):
    """(URL of a stage, [(path, message)], state): the connections API; `state['status']` is what it answers."""
    posted, state = [], {"status": status}

    async def take(request):
        state["authorization"] = request.headers.get("Authorization", "")
        body = await request.read()
        assert len(body) <= FRAME_BYTES
        if state["status"] == 200:
            posted.append((request.raw_path, json.loads(body)))
        return web.Response(status=state["status"])

    app = web.Application()
    app.router.add_post("/{rest:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/prod", posted, state
    finally:
        await runner.cleanup()


@pytest.fixture
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOURS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")


async def send(url, route, id="L0SM9cOFvHcCIhw=", body=None, **headers):
    event = {"requestContext": {"routeKey": route, "connectionId": id, "stage": "prod"}, "body": body}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + "/v1/apigateway", json=event, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


def kinds(posted):
    return [message["type"] for _, message in posted]


async def test_a_connection_chats_and_leaves(tmp_path, credentials):
    backend = Scripted()
    async with (
        connections() as (api, posted, state),
        serving(tmp_path, backend, extra=f"server: {{apigateway: {{url: '{api}', region: eu-west-1}}}}") as (url, app),
    ):
        assert (await send(url, "$connect"))[1]["status"] == "connected"
        for _ in range(2):
            assert (await send(url, "$default", body=QUESTION))[1] == {"status": "taken"}
            await eventually(lambda: "done" in kinds(posted))
            assert {path for path, _ in posted} == {"/prod/@connections/L0SM9cOFvHcCIhw%3D"}
            assert "".join(each["text"] for _, each in posted if each["type"] == "delta") == "Half a penny."
            await eventually(lambda: app.services.active == 0)
            posted.clear()
        assert "AKIAOURS/" in state["authorization"]
        assert "/eu-west-1/execute-api/aws4_request" in state["authorization"]
        assert len(backend.asked[1][0].messages) == 3
        assert (await send(url, "$disconnect"))[1]["status"] == "disconnected"
        await send(url, "$default", body=QUESTION.replace("bridge", "other bridge"))
        await eventually(lambda: "done" in kinds(posted))
        assert len(backend.asked[2][0].messages) == 1


@pytest.mark.parametrize("leaves", ["gone", "disconnects"])
async def test_a_client_that_is_gone_lets_the_provider_go(tmp_path, credentials, leaves):
    backend = Scripted([Started("m", ""), *[TextDelta("word ", 0)] * 400], pause=0.02)
    async with (
        connections() as (api, posted, state),
        serving(tmp_path, backend, extra=f"server: {{apigateway: {{url: '{api}'}}}}") as (url, app),
    ):
        await send(url, "$default", body=QUESTION)
        await eventually(lambda: "delta" in kinds(posted))
        if leaves == "gone":
            state["status"] = 410
        else:
            await send(url, "$disconnect")
        await eventually(lambda: backend.open == 0 and app.services.active == 0)


async def test_pieces_fit_frames_and_keep_characters_whole():
    text = "é日本 " * 30_000
    parts = pieces({"type": "delta", "turn": "1", "text": text})
    assert all(len(part) <= FRAME_BYTES for part in parts)
    assert "".join(json.loads(part)["text"] for part in parts) == text


async def test_a_connection_is_that_of_its_key_and_of_nobody_else(tmp_path, credentials):
    keys = "keys: [{key: key-of-alice, tenant: alice}, {key: key-of-robert, tenant: bob}]"
    backend = Scripted([Started("m", ""), TextDelta("x", 0), Stopped("end_turn"), Usage(Tokens(input=1, output=1))])
    alice, bob = ({"authorization": f"Bearer key-of-{name}"} for name in ("alice", "robert"))
    async with (
        connections() as (api, posted, _),
        serving(tmp_path, backend, extra=f"server: {{apigateway: {{url: '{api}'}}}}\n{keys}") as (url, _),
    ):
        assert (await send(url, "$default", body=QUESTION))[0] == 401
        for who in (alice, bob):
            posted.clear()
            await send(url, "$default", body=QUESTION, **who)
            await eventually(lambda: "done" in kinds(posted))
        assert [len(request.messages) for request, _ in backend.asked] == [1, 1]


@pytest.mark.parametrize(
    "event", [{}, {"requestContext": {"connectionId": ""}}, {"requestContext": {"connectionId": "a\nb"}, "body": "{}"},
              {"requestContext": {"connectionId": "a"}, "body": None},
              {"requestContext": {"connectionId": "a"}, "body": "x" * 200_000}],
)  # fmt: skip
async def test_what_is_no_event_is_refused(tmp_path, credentials, event):
    async with (
        connections() as (api, posted, _),
        serving(tmp_path, Scripted(), extra=f"server: {{apigateway: {{url: '{api}'}}}}") as (url, _),
        aiohttp.ClientSession() as session,
        session.post(url + "/v1/apigateway", json=event) as answer,
    ):
        assert 400 <= answer.status < 500
        assert (await answer.json())["error"]["message"]
        await asyncio.sleep(0)
        assert posted == []


async def test_without_a_configured_api_there_is_none(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, _):
        assert (await send(url, "$connect"))[0] == 404
