"""Conversations over a WebSocket, driven by the `websockets` client."""

import asyncio
import base64
import contextlib
import json

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import connect

from hapenny.core.events import BlockStarted, BlockStopped, Started, Stopped, TextDelta, Tokens, ToolCallDelta, Usage
from tests.server.house import Scripted, serving
from tests.settling import eventually

KEYS = "keys: [{key: key-of-alice, tenant: alice}, {key: key-of-bob, tenant: bob, models: [fast]}]"
QUESTION = "Which bridge in Dublin charged half a penny, and until when?"
ALICE = {"authorization": "Bearer key-of-alice"}


def ws(url):
    return url.replace("http://", "ws://") + "/v1/chat/ws"


@contextlib.asynccontextmanager
async def chatting(url, **rest):
    async with connect(ws(url), **rest) as socket:
        ready = json.loads(await socket.recv())
        assert ready["type"] == "ready"
        yield socket


async def say(socket, **message):
    await socket.send(json.dumps(message))


async def until(socket, kind):
    """All messages up to one of that type."""
    came = []
    async with asyncio.timeout(10):
        while True:
            came.append(json.loads(await socket.recv()))
            if came[-1]["type"] == kind:
                return came


async def test_turns_are_streamed_and_remembered(tmp_path):
    backend = Scripted()
    async with serving(tmp_path, backend) as (url, app), chatting(url) as socket:
        for turn in ("1", "2"):
            await say(socket, type="message", turn=turn, content=f"Question {turn}?")
            came = await until(socket, "done")
            assert came[0]["type"] == "started"
            assert "".join(each["text"] for each in came if each["type"] == "delta") == "Half a penny."
            assert {each["turn"] for each in came} == {turn}
            assert came[-1]["finish_reason"] == "stop"
            assert came[-1]["usage"] == {"prompt_tokens": 12, "completion_tokens": 5}
        second = backend.asked[1][0].messages
        assert [message.role for message in second] == ["user", "assistant", "user"]
        await eventually(lambda: app.gateway.books.closed == 2 and app.services.active == 0)
        row = await app.gateway.ledger.get(came[0]["request"])
        assert row.session is not None


async def test_start_sets_model_parameters_and_history(tmp_path):
    backend = Scripted()
    async with serving(tmp_path, backend) as (url, _), chatting(url) as socket:
        history = [{"role": "system", "content": "Be brief."}]
        await say(socket, type="start", model="strong", max_tokens=7, messages=history)
        await until(socket, "ready")
        await say(socket, type="message", content=QUESTION)
        await until(socket, "done")
        asked, _ = backend.asked[0]
        assert asked.parameters.max_tokens == 7
        assert "Be brief." in str(asked.system)


TOOL = [
    Started("m", ""), BlockStarted(0, "tool_use", id="call_1", name="stock"), ToolCallDelta('{"a": ', 0),
    ToolCallDelta("1}", 0), BlockStopped(0), Stopped("tool_use"), Usage(Tokens(input=1, output=1)),
]  # fmt: skip


THREE = [Started("m", ""), TextDelta("Three.", 0), Stopped("end_turn"), Usage(Tokens(input=1, output=1))]


async def test_tools_are_called_and_their_results_taken(tmp_path):
    backend = Scripted(TOOL)
    async with serving(tmp_path, backend) as (url, _), chatting(url) as socket:
        tools = [{"type": "function", "function": {"name": "stock", "parameters": {"type": "object"}}}]
        await say(socket, type="start", tools=tools)
        await until(socket, "ready")
        await say(socket, type="message", content="How many?")
        came = await until(socket, "done")
        calls = next(each["calls"] for each in came if each["type"] == "tool_calls")
        assert calls == [{"id": "call_1", "type": "function", "function": {"name": "stock", "arguments": '{"a": 1}'}}]
        backend.events = [
            Started("m", ""),
            TextDelta("Three.", 0),
            Stopped("end_turn"),
            Usage(Tokens(input=1, output=1)),
        ]
        await say(socket, type="tool_results", results=[{"tool_call_id": "call_1", "content": "3"}])
        assert (await until(socket, "done"))[1]["text"] == "Three."


async def test_cancel_lets_the_provider_go_and_the_conversation_goes_on(tmp_path):
    backend = Scripted(pause=0.05)
    async with serving(tmp_path, backend) as (url, app), chatting(url) as socket:
        await say(socket, type="message", turn="1", content=QUESTION)
        await until(socket, "delta")
        await say(socket, type="message", turn="2", content="And?")
        assert (await until(socket, "error"))[-1]["turn"] == "2"
        await say(socket, type="cancel")
        assert (await until(socket, "cancelled"))[-1]["turn"] == "1"
        assert backend.open == 0
        await say(socket, type="message", turn="3", content="Again")
        assert (await until(socket, "done"))[-1]["turn"] == "3"
        assert app.services.active == 0


async def test_a_client_that_leaves_lets_the_provider_go(tmp_path):
    backend = Scripted(pause=0.05)
    async with serving(tmp_path, backend) as (url, app):
        async with connect(ws(url)) as socket:
            await say(socket, type="message", content=QUESTION)
            await until(socket, "delta")
            socket.transport.abort()
        await eventually(lambda: backend.open == 0 and app.services.active == 0)


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"type": "dance"}', '{"type": "message"}', '{"type": "message", "content": 5}',
             '{"type": "start", "messages": [1]}', '{"type": "tool_results", "results": []}'],
)  # fmt: skip
async def test_what_is_no_message_is_told_and_the_line_stays(tmp_path, text):
    async with serving(tmp_path, Scripted()) as (url, _), chatting(url) as socket:
        await socket.send(text)
        error = json.loads(await socket.recv())
        assert error["type"] == "error"
        assert error["error"]["message"]
        await say(socket, type="ping")
        assert json.loads(await socket.recv()) == {"type": "pong"}


async def test_keys_are_wanted_at_the_handshake_and_asked_at_every_turn(tmp_path):
    async with serving(tmp_path, Scripted(), extra=KEYS) as (url, _):
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            await connect(ws(url))
        assert refused.value.response.status_code == 401
        async with chatting(url, additional_headers=ALICE) as socket:
            await say(socket, type="message", content=QUESTION)
            await until(socket, "done")
        key = "hapenny.key." + base64.urlsafe_b64encode(b"key-of-bob").decode().rstrip("=")
        async with chatting(url, subprotocols=["hapenny.chat", key]) as socket:
            assert socket.subprotocol == "hapenny.chat"
            await say(socket, type="message", content=QUESTION)
            assert "may not" in (await until(socket, "error"))[-1]["error"]["message"]


async def test_pages_of_other_sites_get_in_nowhere(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, _):
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            await connect(ws(url), origin="http://evil.example.com")
        assert refused.value.response.status_code == 403


async def test_a_message_and_a_conversation_have_bounds(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, app):
        async with chatting(url) as socket:
            await socket.send("x" * 1_000_001)
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd.code == 1009
        async with chatting(url, max_size=None) as socket:
            for _ in range(3):
                await say(socket, type="message", content="x" * 900_000)
                last = json.loads(await socket.recv())
                while last["type"] not in ("done", "error"):
                    last = json.loads(await socket.recv())
            assert last["type"] == "error"
            assert "longer" in last["error"]["message"]
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            async with chatting(url) as socket:
                await socket.send(b"binary")
                await socket.recv()
        assert app.services.active == 0


async def test_a_draining_server_says_so(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, app), chatting(url) as socket:
        stopping = asyncio.ensure_future(app.stop())
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd.code == 1001
        await stopping


async def test_what_is_no_handshake_is_told_what_is_wanted(tmp_path):
    async with (
        serving(tmp_path, Scripted()) as (url, _),
        aiohttp.ClientSession() as session,
        session.get(url + "/v1/chat/ws") as answer,
    ):
        assert answer.status == 426
        assert answer.headers["upgrade"] == "websocket"


BOUND = """
keys:
  - {key: key-of-alice, tenant: alice, requests_per_minute: 1}
  - {key: key-of-bob, tenant: bob, models: [fast]}
"""


async def refused(url, key, start, message):
    """The error that a turn ends with."""
    async with chatting(url, additional_headers={"authorization": f"Bearer {key}"}) as socket:
        await say(socket, type="start", **start)
        await until(socket, "ready")
        await say(socket, type="message", **message)
        return (await until(socket, "error"))[-1]["error"]


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"models": ["strong"]}, "permission_error"),
        ({"fallbacks": [{"model": "strong"}]}, "permission_error"),
        ({"tools": [{"type": "t", "model": "strong"}]}, "permission_error"),
        ({"Model": "strong"}, "invalid_request_error"),
    ],
)
async def test_a_conversation_reaches_no_other_model_by_a_further_field(tmp_path, more, kind):
    backend = Scripted()
    async with serving(tmp_path, backend, extra=BOUND) as (url, _):
        error = await refused(url, "key-of-bob", {"model": "fast", **more}, {"content": QUESTION})
    assert error["type"] == kind
    assert backend.asked == []


async def test_a_conversation_reads_no_file_of_another_key(tmp_path):
    backend = Scripted()
    async with serving(tmp_path, backend, extra=BOUND) as (url, _):
        part = {"type": "file", "file": {"file_id": "file-of-alice"}}
        error = await refused(url, "key-of-bob", {"model": "fast"}, {"content": [part]})
    assert "file-of-alice" in error["message"]
    assert backend.asked == []


async def test_the_limits_of_a_key_hold_for_turns(tmp_path):
    backend = Scripted()
    async with (
        serving(tmp_path, backend, extra=BOUND) as (url, _),
        chatting(url, additional_headers=ALICE) as socket,
    ):
        await say(socket, type="message", turn="1", content=QUESTION)
        await until(socket, "done")
        await say(socket, type="message", turn="2", content=QUESTION)
        error = (await until(socket, "error"))[-1]
    assert (error["turn"], error["error"]["type"]) == ("2", "rate_limit_error")
    assert len(backend.asked) == 1
