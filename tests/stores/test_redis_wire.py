"""The wire to a Redis: addresses, commands and replies, whole and in pieces, and a real server at the other end."""

import asyncio
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.stores.redis_wire import RedisWire, Refusal, Unfinished, place_of, reply, written

VALUES = st.recursive(
    st.binary(max_size=40) | st.integers(-(2**63), 2**63 - 1) | st.none(), lambda inner: st.lists(inner, max_size=4)
)


def encoded(value):
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    return b"*%d\r\n" % len(value) + b"".join(map(encoded, value))


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_replies_are_read_as_they_were_written_and_wait_for_their_rest(values):
    data = bytearray(b"".join(map(encoded, values)))
    at = 0
    for value in values:
        read, end = reply(data, at)
        assert read == value
        for cut in range(at, end):
            with pytest.raises(Unfinished):
                reply(data[:cut], at)
        at = end
    assert at == len(data)


@pytest.mark.parametrize("data", [b"?x\r\n", b"$x\r\n", b"*1\r\n!\r\n"])
def test_what_is_no_reply_is_refused(data):
    with pytest.raises(ValueError):
        reply(bytearray(data), 0)


def test_commands_are_arrays_of_what_they_are_made_of():
    assert written(("SET", b"\x00k", 7, "é")) == b"*4\r\n$3\r\nSET\r\n$2\r\n\x00k\r\n$1\r\n7\r\n$2\r\n\xc3\xa9\r\n"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://h", ("h", 6379, "", "", "", 0)),
        ("redis://:p%40ss@h:7/3", ("h", 7, "", "", "p@ss", 3)),
        ("valkey://me:word@h/1", ("h", 6379, "", "me", "word", 1)),
        ("unix:///run/redis.sock?db=2", ("localhost", 6379, "/run/redis.sock", "", "", 2)),
        ("redis://[::1]:7/0", ("::1", 7, "", "", "", 0)),
    ],
)
def test_addresses_are_those_of_the_general_client(url, named):
    assert place_of(url)[:6] == named
    if not url.startswith("valkey"):
        client = pytest.importorskip("redis", reason="not run: the redis client is not installed")
        known = client.connection.parse_url(url)
        assert known.get("port", 6379) == named[1]
        assert known.get("path", "") == named[2]
        assert known.get("password", "") == named[4]
        assert int(known.get("db", 0)) == named[5]


def test_tls_is_checked_unless_it_is_said_otherwise():
    assert place_of("redis://h").tls is None
    sure, loose = place_of("rediss://h").tls, place_of("rediss://h?ssl_cert_reqs=none").tls
    assert (sure.verify_mode, sure.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (loose.verify_mode, loose.check_hostname) == (ssl.CERT_NONE, False)
    assert not place_of("rediss://h?ssl_check_hostname=false").tls.check_hostname


@pytest.mark.parametrize("url", ["http://h", "redis://h/x"])
def test_another_address_is_refused(url):
    with pytest.raises(ValueError, match="no "):
        place_of(url)


@pytest.mark.redis
async def test_a_real_server_answers_in_order_and_refuses_in_place(redis_url):
    wire = await RedisWire.open(place_of(redis_url))
    big = b"x" * 3_000_000
    first = wire.ask([("SET", "k", big), ("GET", "k"), ("NOSUCH",), ("LRANGE", "none", 0, -1)])
    second = wire.ask([("INCR", "n"), ("GET", "none")])
    set_, got, refused, empty = await first
    assert (set_, got, empty) == (b"OK", big, [])
    assert isinstance(refused, Refusal)
    assert refused.code == "ERR"
    assert await second == [1, None]
    wire.close()
    with pytest.raises(ConnectionError):
        await wire.ask([("GET", "k")])


async def test_who_waits_is_told_when_the_server_goes_and_strangers_are_hung_up_on():
    async def serve(reader, writer):
        await reader.readexactly(14)
        writer.write(b"+PONG\r\n+NOBODY ASKED\r\n")
        await reader.read()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    wire = await RedisWire.open(place_of(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert await wire.ask([("PING",)]) == [b"PONG"]
    assert not wire.alive
    server.close()
