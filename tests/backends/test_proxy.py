"""A forward proxy by option: tunnels for TLS, absolute targets without, and what it may know."""

import asyncio
import base64
import contextlib
import ssl

import pytest
from aiohttp import web

from hapenny.backends.pool import Pool
from hapenny.backends.proxy import Proxy
from hapenny.backends.url import origin
from hapenny.config import ConfigError, load
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from tests.backends.servers import serving
from tests.certificates import certificate


@contextlib.asynccontextmanager
async def proxy(status=b"200 Connection established", more=b""):
    """(port, heads): a proxy that opens tunnels and notes what it was told; whatever follows is only moved."""
    heads = []

    async def move(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n" + more)
            if not status.startswith(b"2"):
                writer.close()
                return
            host, port = head.split(b" ")[1].decode().rsplit(":", 1)
            far_reader, far = await asyncio.open_connection(host, int(port))
        else:
            address = head.split(b" ")[1].decode()
            place = origin(address)
            far_reader, far = await asyncio.open_connection(place.host, place.port)
            far.write(head.replace(address.encode(), b"/" + address.encode().split(b"/", 3)[3], 1))
        await asyncio.gather(move(reader, far), move(far_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()


async def hello(request):
    return web.Response(text=f"{request.path} {request.headers.get('Authorization')} {await request.text()}")


@contextlib.asynccontextmanager
async def secure(tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    trust = ssl.create_default_context(cafile=str(cert))
    try:
        yield f"https://localhost:{runner.addresses[0][1]}", trust
    finally:
        await runner.cleanup()


async def ask(pool, url):
    try:
        lease = await pool.send("POST", origin(url).at("/v1/x"), {"authorization": "Bearer secret"}, b"body")
        return lease.status, await lease.whole()
    finally:
        await pool.aclose()


async def test_a_provider_behind_tls_is_reached_by_a_tunnel_that_sees_no_key(tmp_path):
    async with secure(tmp_path) as (url, trust), proxy() as (port, heads):
        pool = Pool(RealClock(), trust=trust, proxy=Proxy.of(f"http://ann:p%40ss@127.0.0.1:{port}"))
        assert await ask(pool, url) == (200, b"/v1/x Bearer secret body")
    assert len(heads) == 1
    assert heads[0].startswith(b"CONNECT localhost:")
    assert b"proxy-authorization: Basic " + base64.b64encode(b"ann:p@ss") in heads[0]
    assert b"secret" not in heads[0]


async def test_a_provider_without_tls_is_asked_through_it():
    async with serving(hello) as url, proxy() as (port, heads):
        pool = Pool(RealClock(), proxy=Proxy.of(f"http://127.0.0.1:{port}"))
        assert await ask(pool, url) == (200, b"/v1/x Bearer secret body")
    assert heads[0].startswith(f"POST {url}/v1/x HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("status", "more", "why"),
    [(b"407 No", b"", "407"), (b"502 No", b"", "502"), (b"200 OK", b"smuggled", "is none"), (b"hello", b"", "is none")],
)
async def test_a_proxy_that_opens_no_tunnel_is_unavailable(tmp_path, status, more, why):
    async with secure(tmp_path) as (url, trust), proxy(status, more) as (port, _):
        pool = Pool(RealClock(), trust=trust, proxy=Proxy.of(f"http://127.0.0.1:{port}"))
        with pytest.raises(Failure, match=why) as failed:
            await ask(pool, url)
    assert failed.value.kind == "unavailable"


async def test_the_environments_proxy_is_not_looked_at(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with serving(hello) as url:
        assert (await ask(Pool(RealClock()), url))[0] == 200


@pytest.mark.parametrize("address", ["socks5://x:1", "proxy:3128", "http://", "http://x/path"])
def test_an_address_that_is_none_is_refused_at_start(address):
    text = f"backends: {{x: {{kind: openai, base_url: 'http://y/v1', proxy: '{address}'}}}}\ntiers: {{strong: m}}"
    with pytest.raises(ConfigError, match="proxy"):
        load(text=text)
