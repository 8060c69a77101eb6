"""One connection to a Redis or Valkey, for scripts in batches: commands out in one write, replies back in their order.

It speaks RESP2, which every server does, and no more of it than `RedisLine` needs: loading the general client takes a
fifth of a gateway's start. Addresses are those of the general client: `redis://`, `rediss://` (TLS: `ssl_ca_certs`,
`ssl_certfile`, `ssl_keyfile`, `ssl_cert_reqs`, `ssl_check_hostname`), `unix://PATH`, each with user, password and
database.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlsplit

PORT = 6379
MOST_BYTES = 64_000_000
"""The longest run of replies that is taken; a server that sends more is none of ours."""
_FALSE = ("0", "f", "false", "n", "no")


class Refusal(Exception):
    """What a server answers instead of a value; its first word says which kind."""

    @property
    def code(self) -> str:
        """`NOSCRIPT`, `OOM`, `READONLY` and the like."""
        return str(self).partition(" ")[0]


class Place(NamedTuple):
    """Where a server is, and who asks."""

    host: str
    port: int
    path: str
    """Of a Unix socket; empty: TCP."""
    user: str
    password: str
    database: int
    tls: ssl.SSLContext | None


def place_of(url: str) -> Place:
    """The place a URL names.

    Raises:
        ValueError: it is no address of a Redis.
    """
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    if parts.scheme not in ("redis", "rediss", "valkey", "unix"):
        raise ValueError("no address of a Redis: use redis://HOST:PORT/DATABASE, rediss://… or unix://PATH")
    database = asked.get("db") or ("0" if parts.scheme == "unix" else parts.path.strip("/") or "0")
    if not database.isdigit():
        raise ValueError(f"{database!r} is no number of a database")
    return Place(
        host=unquote(parts.hostname or "localhost"),
        port=parts.port or PORT,
        path=unquote(parts.path) if parts.scheme == "unix" else "",
        user=unquote(parts.username or asked.get("username", "")),
        password=unquote(parts.password or "") or asked.get("password", ""),
        database=int(database),
        tls=_tls(asked) if parts.scheme == "rediss" else None,
    )


def _tls(asked: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=asked.get("ssl_ca_certs"))
    if "ssl_certfile" in asked:
        context.load_cert_chain(asked["ssl_certfile"], asked.get("ssl_keyfile"))
    needs = asked.get("ssl_cert_reqs", "required").lower()
    if needs == "none" or asked.get("ssl_check_hostname", "true").lower() in _FALSE:
        context.check_hostname = False
    if needs == "none":
        context.verify_mode = ssl.CERT_NONE
    return context


class RedisWire(asyncio.Protocol):
    """One connection; `open` makes one."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._batches: deque[tuple[asyncio.Future[list[Any]], int, list[Any]]] = deque()
        self.alive = False

    @classmethod
    async def open(cls, place: Place) -> RedisWire:
        """A connection that may be used. Raises `OSError`, or `Refusal` where the server takes nobody."""
        loop = asyncio.get_running_loop()
        wire: RedisWire
        if place.path:
            _, wire = await loop.create_unix_connection(cls, place.path)
        else:
            name = place.host if place.tls is not None else None
            _, wire = await loop.create_connection(cls, place.host, place.port, ssl=place.tls, server_hostname=name)
        hello: list[Sequence[Any]] = []
        if place.password:
            hello.append(("AUTH", place.user, place.password) if place.user else ("AUTH", place.password))
        if place.database:
            hello.append(("SELECT", place.database))
        try:
            for reply in await wire.ask(hello) if hello else ():
                if isinstance(reply, Refusal):
                    raise reply
        except BaseException:
            wire.close()
            raise
        return wire

    def ask(self, commands: Sequence[Sequence[Any]]) -> asyncio.Future[list[Any]]:
        """The replies to commands, in their order; a `Refusal` stands among them as it came. The future raises
        `ConnectionError` where the connection ends before."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        if not self.alive or self._transport is None:
            future.set_exception(ConnectionError("the connection is closed"))
            return future
        self._batches.append((future, len(commands), []))
        self._transport.write(b"".join(map(written, commands)))
        return future

    def close(self) -> None:
        """Ends the connection; whoever waits is told."""
        if self._transport is not None:
            self._transport.abort()
        self._end(ConnectionError("the connection was closed"))

    # -- what the loop says ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport, self.alive = cast(asyncio.Transport, transport), True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._end(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Takes bytes; whole replies go to who waits for them."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while self._batches and at < len(buffer):
                value, at = reply(buffer, at)
                future, count, replies = self._batches[0]
                replies.append(value)
                if len(replies) == count:
                    self._batches.popleft()
                    if not future.done():
                        future.set_result(replies)
        except Unfinished:
            pass
        except ValueError:
            self.close()
            return
        del buffer[:at]
        if len(buffer) > (MOST_BYTES if self._batches else 0):
            self.close()  # too much, or what nobody asked for

    def _end(self, why: ConnectionError) -> None:
        self.alive = False
        self._transport = None
        batches, self._batches = self._batches, deque()
        for future, _, _ in batches:
            if not future.done():
                future.set_exception(why)


class Unfinished(Exception):
    """The rest of a reply has not come yet."""


def written(command: Sequence[Any]) -> bytes:
    """A command as it is sent: an array of bulk strings."""
    out = [b"*%d\r\n" % len(command)]
    for word in command:
        data = word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogatepass")
        out.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(out)


def reply(buffer: bytearray, at: int) -> tuple[Any, int]:
    """The reply that begins at `at`, and where it ends: bytes, a whole number, None, a list, or a `Refusal`.

    Raises:
        Unfinished: more has to come first.
        ValueError: it is no RESP2.
    """
    end = buffer.find(b"\r\n", at)
    if end < 0:
        raise Unfinished
    kind, line, behind = buffer[at], bytes(buffer[at + 1 : end]), end + 2
    if kind == 0x2B:  # +
        return line, behind
    if kind == 0x2D:  # -
        return Refusal(line.decode("utf-8", "replace")), behind
    if kind == 0x3A:  # :
        return int(line), behind
    length = int(line)
    if kind == 0x24:  # $
        if length < 0:
            return None, behind
        if len(buffer) < behind + length + 2:
            raise Unfinished
        return bytes(buffer[behind : behind + length]), behind + length + 2
    if kind == 0x2A:  # *
        if length < 0:
            return None, behind
        values = []
        for _ in range(length):
            value, behind = reply(buffer, behind)
            values.append(value)
        return values, behind
    raise ValueError("no RESP2")
