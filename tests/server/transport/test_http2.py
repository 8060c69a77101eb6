"""HTTP/2 in: by prior knowledge and by ALPN, within the bounds that HTTP/1.1 has."""

import asyncio
import contextlib
import json
import shutil
import ssl

import pytest
from h2.errors import ErrorCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.server.transport.held import PREFACE
from hapenny.server.transport.limits import Limits
from hapenny.server.transport.listener import Server
from hapenny.server.transport.messages import Response
from tests.certificates import certificate
from tests.server.transport.house import Client as Plain
from tests.server.transport.house import Service, echo, get, serving
from tests.server.transport.http2_client import Client
from tests.settling import eventually


class Pieces:
    """A body of `count` pieces; `taken` says how many were asked for."""

    last = late = False

    def __init__(self, count, size=1_000, failure=None):
        self.left, self.size, self.failure = count, size, failure
        self.taken, self.closed = 0, False

    async def read(self):
        if not self.left:
            if self.failure is not None:
                raise self.failure
            return None
        self.left -= 1
        self.taken += 1
        return b"%d" % (self.left % 10) * self.size

    def silence(self):
        return b""

    def cut(self, failure):
        return b"told: " + failure.message.encode()

    def close(self):
        self.closed = True


async def test_requests_are_answered_many_at_a_time_on_one_connection():
    async with serving() as (server, port, service):
        client = await Client.to(port)
        ids = [client.post(b"body %d" % number, path=f"/p/{number}") for number in range(100)]
        for number, id in enumerate(ids):
            assert await client.answer(id) == ("200", b"POST /p/%d body %d" % (number, number))
        assert client.heads[ids[0]]["content-type"] == "text/plain"
        assert "date" in client.heads[ids[0]]
        assert len(service.heads) == 100
        assert len(server.connections) == 1
        assert server.usage.connections == 1
        assert server.usage.buffered == 0
        client.leave()
        await eventually(lambda: not server.connections and server.usage.connections == 0)


@pytest.mark.parametrize("cut", [1, 3, 10, 23, 24, 30])
async def test_the_preface_may_come_in_parts(cut):
    async with serving() as (_, port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        write, parts = writer.write, []
        writer.write = parts.append
        client = Client(reader, writer, None)
        writer.write = write
        whole = b"".join(parts)
        assert whole.startswith(PREFACE)
        writer.write(whole[:cut])
        await asyncio.sleep(0)
        writer.write(whole[cut:])
        assert await client.answer(client.ask()) == ("200", b"GET /p ")


@pytest.mark.parametrize("start", [b"PRI * HTTP/1.1\r\nHost: h\r\n\r\n", b"PROPFIND /p HTTP/1.1\r\nHost: h\r\n\r\n"])
async def test_what_only_begins_like_the_preface_is_http1(start):
    async with serving() as (_, port, _):
        for cut in (1, 2, 5, len(start)):
            client = await Plain.to(port)
            client.say(start[:cut])
            await asyncio.sleep(0)
            client.say(start[cut:])
            assert (await client.until(b"\r\n\r\n")).startswith((b"HTTP/1.1 400", b"HTTP/1.1 200"))
            client.leave()


async def test_it_can_be_switched_off():
    async with serving(http2=False) as (_, port, _):
        client = await Plain.to(port)
        assert (await client.say(PREFACE).end()).startswith(b"HTTP/1.1 400")


async def secured(tmp_path, **limits):
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = Server(Service(echo), RealClock(), Limits(**limits))
    return server, await server.start("localhost", 0, context), cert


@pytest.mark.parametrize("chosen", ["h2", "http/1.1", None])
async def test_over_tls_the_client_chooses(tmp_path, chosen):
    server, port, cert = await secured(tmp_path)
    trust = ssl.create_default_context(cafile=str(cert))
    if chosen is not None:
        trust.set_alpn_protocols([chosen])
    try:
        if chosen == "h2":
            client = await Client.to(port, tls=trust)
            assert await client.answer(client.post(b"hi")) == ("200", b"POST /p hi")
        else:
            reader, writer = await asyncio.open_connection("localhost", port, ssl=trust)
            writer.write(get("/p", "Connection: close"))
            assert (await reader.read(-1)).startswith(b"HTTP/1.1 200")
            writer.close()
    finally:
        await server.close()


async def test_a_head_answer_has_no_body_and_a_refusal_needs_none():
    async with serving(key="right") as (server, port, service):
        client = await Client.to(port)
        key = ("x-key", "right")
        head = client.ask("HEAD", "/p", key)
        assert await client.answer(head) == ("200", b"")
        assert client.heads[head]["content-length"] == "8"
        refused = client.ask("POST", "/p", ("content-length", "500"), end=False)
        assert await client.answer(refused) == ("401", b"no")
        await client.until(lambda: refused in client.resets)
        assert client.resets[refused] == ErrorCodes.NO_ERROR
        assert await client.answer(client.post(b"x", key)) == ("200", b"POST /p x")
        assert server.usage.buffered == 0
        assert service.under_way == 0


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_has_its_bound(announced):
    async with serving(most=1_000) as (server, port, service):
        client = await Client.to(port)
        more = [("content-length", "1001")] if announced else []
        id = client.ask("POST", "/p", *more, end=False)
        if not announced:
            client.say(id, b"x" * 1_001, end=False)
        status, body = await client.answer(id)
        assert (status, b"larger" in body) == ("413", True)
        assert service.under_way == 0
        assert server.usage.buffered == 0
        assert await client.answer(client.post(b"x" * 1_000)) == ("200", b"POST /p " + b"x" * 1_000)


async def test_all_bodies_together_have_one_too():
    async with serving(most=10_000, buffered_bytes=8_000) as (server, port, _):
        client = await Client.to(port)
        first = client.ask("POST", "/p", end=False)
        client.say(first, b"x" * 6_000, end=False)
        await eventually(lambda: server.usage.buffered == 6_000)
        second = client.ask("POST", "/p", end=False)
        client.say(second, b"x" * 4_000, end=False)
        assert (await client.answer(second))[0] == "503"
        client.say(first, b"", end=True)
        assert (await client.answer(first))[0] == "200"
        assert server.usage.buffered == 0


async def test_a_body_that_does_not_come_is_timed_out():
    async with serving(body_s=0.05, linger_s=0.02) as (server, port, _):
        client = await Client.to(port)
        id = client.ask("POST", "/p", end=False)
        assert (await client.answer(id))[0] == "408"
        assert server.usage.buffered == 0


async def test_an_expectation_is_met():
    async with serving() as (_, port, _):
        client = await Client.to(port)
        id = client.ask("POST", "/p", ("expect", "100-continue"), end=False)
        await client.until(lambda: client.informed == ["100"])
        client.say(id, b"now")
        assert await client.answer(id) == ("200", b"POST /p now")


async def test_whoever_writes_waits_for_the_clients_window():
    pieces = Pieces(500, 1_000)

    async def answers(request, body):
        return Response(b"quick") if request.path == "/quick" else Response(pieces=pieces)

    async with serving(answers) as (_, port, service):
        client = await Client.to(port, window=10_000)
        id = client.ask()
        await client.until(lambda: len(client.bodies[id]) == 10_000)
        for _ in range(20):
            await asyncio.sleep(0)
        assert pieces.taken < 100, "more was asked of the source than may wait"
        assert await client.answer(client.ask("GET", "/quick")) == ("200", b"quick")
        client.h2.increment_flow_control_window(1_000_000)
        client.h2.increment_flow_control_window(1_000_000, id)
        client.flush()
        await client.until(lambda: id in client.ended)
        assert len(client.bodies[id]) == 500_000
        assert pieces.closed
        client.leave()
        await eventually(lambda: service.under_way == 0)


async def test_a_client_that_takes_nothing_is_let_go_and_holds_nobody_else_up():
    pieces = Pieces(500, 1_000)

    async def answers(request, body):
        return Response(b"quick") if request.path == "/quick" else Response(pieces=pieces)

    async with serving(answers, stalled_s=0.05, linger_s=0.02) as (_, port, service):
        client = await Client.to(port, window=10_000)
        slow = client.ask("GET", "/slow")
        await client.until(lambda: len(client.bodies[slow]) == 10_000)
        assert await client.answer(client.ask("GET", "/quick")) == ("200", b"quick")
        await client.until(lambda: slow in client.resets)
        assert client.resets[slow] == ErrorCodes.CANCEL
        await eventually(lambda: service.under_way == 0)
        assert pieces.closed


async def test_a_reset_cancels_the_work():
    started, cancelled = asyncio.Event(), []

    async def answers(request, body):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(request.path)
            raise

    async with serving(answers) as (server, port, service):
        client = await Client.to(port)
        id = client.ask("GET", "/long")
        await started.wait()
        client.h2.reset_stream(id, ErrorCodes.CANCEL)
        client.flush()
        await eventually(lambda: cancelled == ["/long"] and service.under_way == 0)
        assert server.usage.connections == 1
        client.leave()


async def test_a_client_that_leaves_cancels_all_its_work():
    async def answers(request, body):
        await asyncio.Event().wait()

    async with serving(answers) as (server, port, service):
        client = await Client.to(port)
        for _ in range(5):
            client.ask()
        await eventually(lambda: service.under_way == 5)
        assert server.usage.connections == 5
        client.leave()
        await eventually(lambda: service.under_way == 0 and server.usage.connections == 0)


async def test_rapid_resets_end_the_connection():
    async with serving() as (server, port, service):
        client = await Client.to(port)
        for _ in range(1_000):
            id = client.ask("POST", "/p", end=False)
            client.h2.reset_stream(id, ErrorCodes.CANCEL)
        client.flush()
        await client.end()
        assert client.farewell == ErrorCodes.ENHANCE_YOUR_CALM
        assert len(service.heads) < 200
        await eventually(lambda: not server.connections and service.under_way == 0)


async def test_a_flood_of_control_frames_ends_it_too():
    async with serving() as (server, port, _):
        client = await Client.to(port)
        for number in range(3_000):
            client.h2.ping(number.to_bytes(8, "big"))
        client.flush()
        await client.end()
        assert client.farewell == ErrorCodes.ENHANCE_YOUR_CALM
        await eventually(lambda: not server.connections)


async def test_streams_of_an_address_are_bounded_like_its_connections():
    async def answers(request, body):
        await asyncio.Event().wait()

    async with serving(answers, connections=3, per_address=3) as (server, port, service):
        client = await Client.to(port)
        ids = [client.ask() for _ in range(5)]
        await client.until(lambda: len(client.resets) == 2)
        assert {client.resets[id] for id in ids[3:]} == {ErrorCodes.REFUSED_STREAM}
        assert server.usage.connections == 3
        assert service.under_way == 3
        client.leave()


async def test_more_streams_than_announced_end_the_connection():
    async def answers(request, body):
        await asyncio.Event().wait()

    async with serving(answers, streams=2) as (server, port, _):
        client = await Client.to(port)
        for _ in range(3):
            client.ask()
        await client.end()
        assert client.farewell is not None
        await eventually(lambda: not server.connections)


@pytest.mark.parametrize(
    ("more", "path", "status"),
    [
        ([(f"x-{number}", "1") for number in range(300)], "/p", "431"),
        ([], "/a/../b", "400"),
        ([], "/a//b", "400"),
        ([], "http://other/p", "400"),
        ([], "/%00", "400"),
    ],
)
async def test_heads_are_judged_as_those_of_http1(more, path, status):
    async with serving() as (_, port, service):
        client = await Client.to(port)
        client.h2.config.validate_outbound_headers = False
        assert (await client.answer(client.ask("GET", path, *more)))[0] == status
        assert service.heads == []
        assert (await client.answer(client.ask()))[0] == "200"


async def test_a_list_of_fields_has_a_bound():
    async with serving() as (_, port, service):
        client = await Client.to(port)
        client.h2.remote_settings.max_header_list_size = 1 << 20
        client.ask("GET", "/p", *((f"x-{number}", "v" * 4_000) for number in range(40)))
        await client.end()
        assert service.heads == []


async def test_fields_that_came_several_times_are_one():
    seen = []

    async def answers(request, body):
        seen.append((request.headers["x-a"], request.headers["cookie"], request.headers["Host"]))
        return Response(b"", status=204, headers={"X-Answer": "1", "connection": "close", "transfer-encoding": "x"})

    async with serving(answers) as (_, port, _):
        client = await Client.to(port)
        id = client.ask("GET", "/p", ("x-a", "1"), ("cookie", "a=b"), ("x-a", "2"), ("cookie", "c=d"))
        assert await client.answer(id) == ("204", b"")
        assert seen == [("1, 2", "a=b; c=d", "h")]
        assert client.heads[id]["x-answer"] == "1"
        assert not {"connection", "transfer-encoding", "content-length"} & client.heads[id].keys()


async def test_an_answer_that_breaks_has_no_proper_end():
    pieces = Pieces(2, 10, failure=Failure("upstream", "broke"))

    async def answers(request, body):
        return Response(pieces=pieces)

    async with serving(answers) as (_, port, _):
        client = await Client.to(port)
        id = client.ask()
        await client.until(lambda: id in client.resets)
        assert client.bodies[id] == b"1" * 10 + b"0" * 10
        assert client.resets[id] == ErrorCodes.INTERNAL_ERROR


async def test_draining_lets_streams_end_and_takes_no_more():
    release = asyncio.Event()

    async def answers(request, body):
        await release.wait()
        return Response(b"done")

    async with serving(answers) as (server, port, service):
        client = await Client.to(port)
        under_way = client.ask()
        await eventually(lambda: service.under_way == 1)
        server.refuse()
        await client.until(lambda: client.farewell == ErrorCodes.NO_ERROR)
        release.set()
        await client.end()
        assert client.bodies[under_way] == b"done"


async def test_when_the_server_ends_clients_are_told():
    async def answers(request, body):
        if request.path == "/whole":
            await asyncio.Event().wait()
        return Response(pieces=Endless(1, 10))

    class Endless(Pieces):
        async def read(self):
            data = await super().read()
            if data is None:
                await asyncio.Event().wait()
            return data

    async with serving(answers) as (server, port, service):
        client = await Client.to(port)
        whole, streamed = client.ask("GET", "/whole"), client.ask("GET", "/streamed")
        await client.until(lambda: bool(client.bodies[streamed]))
        closing = asyncio.ensure_future(server.close(Failure("unavailable", "going")))
        assert await client.answer(whole) == ("503", b"going")
        assert (await client.answer(streamed))[1].endswith(b"told: going")
        client.leave()
        await closing
        assert service.under_way == 0


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_frames_say_the_server_goes_on(data):
    """Recorded bytes of a client, damaged anywhere: the connection ends or answers, and nothing is left of it."""
    scripted = Client.__new__(Client)
    parts: list[bytes] = []

    class Sink:
        write = staticmethod(parts.append)

    scripted.__init__(None, Sink(), None)
    for number in range(3):
        scripted.post(b"x" * 200, ("x-number", str(number)))
    whole = bytearray(b"".join(parts))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(len(PREFACE), len(whole) - 1))
        whole[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=12))

    async def main():
        async with serving() as (server, port, service):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(bytes(whole))
            writer.write_eof()
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionError):
                    while await reader.read(65_536):
                        pass
            writer.close()
            await eventually(lambda: not server.connections and service.under_way == 0)
            assert server.usage.buffered == 0
            assert server.usage.connections == 0
            assert not server.usage.addresses

    asyncio.run(main())


NODE = """
const http2 = require('http2');
const client = http2.connect('http://127.0.0.1:' + process.argv[1]);
const one = n => new Promise((good, bad) => {
  const stream = client.request({':method': 'POST', ':path': '/p/' + n});
  let text = '', status = 0;
  stream.on('response', head => { status = head[':status']; });
  stream.on('data', data => { text += data; });
  stream.on('end', () => good([status, text.length]));
  stream.on('error', bad);
  stream.end('x'.repeat(n * 100));
});
Promise.all([...Array(200).keys()].map(one)).then(all => { console.log(JSON.stringify(all)); client.close(); });
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
async def test_nodes_client_agrees():
    """The client of the AWS SDK for JavaScript: nghttp2, an implementation of other hands."""
    async with serving(most=1_000_000) as (_, port, _):
        node = await asyncio.create_subprocess_exec("node", "-e", NODE, str(port), stdout=asyncio.subprocess.PIPE)
        out, _ = await node.communicate()
        expected = [[200, len(f"POST /p/{number} ") + number * 100] for number in range(200)]
        assert json.loads(out) == expected
