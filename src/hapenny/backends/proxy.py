"""A forward proxy on the way to a provider, where an option names one. The environment's proxies are not looked at.

Providers behind TLS are reached by a tunnel (CONNECT, RFC 9110 §9.3.6): the proxy sees host and port, never a key.
Providers without TLS are asked through the proxy by absolute targets (RFC 9112 §3.2.2), key and all, so that such a
proxy belongs to the operator.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from hapenny.backends.http1 import Broken, Connection
from hapenny.core.errors import Failure

_HEAD_BYTES = 1 << 14
"""The longest head of a proxy's answer."""


class Proxy(NamedTuple):
    """Where a proxy listens, and what it wants to hear."""

    secure: bool
    host: str
    port: int
    authorization: str
    """Value of Proxy-Authorization; empty: none."""

    @classmethod
    def of(cls, text: str) -> Proxy:
        """The proxy of a configured address, `http(s)://[user:password@]host[:port]`. Raises `ValueError`."""
        split = urlsplit(text)
        if split.scheme not in ("http", "https") or not split.hostname or split.path not in ("", "/") or split.query:
            raise ValueError("no address of a proxy, which is http(s)://[user:password@]host:port")
        port = split.port if split.port is not None else (443 if split.scheme == "https" else 80)
        user = ""
        if split.username is not None:
            pair = f"{unquote(split.username)}:{unquote(split.password or '')}"
            user = "Basic " + base64.b64encode(pair.encode()).decode()
        return cls(split.scheme == "https", split.hostname, port, user)

    def prefix(self, authority: str) -> str:
        """What stands before the path in requests to a provider without TLS."""
        return f"http://{authority}"

    async def connect(self, host: str, port: int, context: ssl.SSLContext | None) -> Connection:
        """A connection to a provider through the proxy.

        Args:
            host: of the provider.
            port: of the provider.
            context: of its TLS; None: it has none, and the proxy itself answers the connection.

        Raises:
            Failure: `unavailable`, the proxy does not open a tunnel.
            OSError: it cannot be reached.
        """
        loop = asyncio.get_running_loop()
        secure = ssl.create_default_context() if self.secure else None
        if context is None:
            _, plain = await loop.create_connection(lambda: Connection(loop), self.host, self.port, ssl=secure)
            return plain
        transport, opening = await loop.create_connection(lambda: _Opening(loop), self.host, self.port, ssl=secure)
        try:
            at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            line = f"proxy-authorization: {self.authorization}\r\n" if self.authorization else ""
            transport.write(f"CONNECT {at} HTTP/1.1\r\nhost: {at}\r\n{line}\r\n".encode("latin-1"))
            status = await opening.answer
            if status // 100 != 2:
                fix = "give user and password in the address of the proxy" if status == 407 else ""
                raise Failure(
                    "unavailable", f"the proxy opens no tunnel to {host}: {status}", fix=fix, upstream_type="ProxyError"
                )
            connection = Connection(loop)
            through = await loop.start_tls(transport, connection, context, server_hostname=host)
            if through is None:
                raise Failure("unavailable", f"the tunnel to {host} ended", upstream_type="ProxyError")
            connection.connection_made(through)
        except Broken as error:
            transport.abort()
            raise Failure("unavailable", f"the proxy is none: {error}", upstream_type="ProxyError") from None
        except BaseException:
            transport.abort()
            raise
        return connection


class _Opening(asyncio.Protocol):
    """Waits for the proxy's answer to CONNECT: its status. Nothing may follow its head before we speak."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[int] = loop.create_future()
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing comes before we asked."""

    def data_received(self, data: bytes) -> None:
        """Part of the head."""
        if self.answer.done():
            return
        self._held += data
        head, end, rest = self._held.partition(b"\r\n\r\n")
        if end:
            first = head.partition(b"\r\n")[0].split(b" ")
            sound = len(first) > 1 and first[0] in (b"HTTP/1.1", b"HTTP/1.0") and first[1].isdigit() and not rest
            if sound and len(first[1]) == 3:
                self.answer.set_result(int(first[1]))
            else:
                self.answer.set_exception(Broken("it does not answer CONNECT"))
        elif len(self._held) > _HEAD_BYTES:
            self.answer.set_exception(Broken("its head is too long"))

    def connection_lost(self, exc: Exception | None) -> None:
        """It hung up."""
        if not self.answer.done():
            self.answer.set_exception(Broken("it closed the connection"))
