"""A light load generator on raw connections: keep-alive, one request in flight a connection."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit


class Shot(NamedTuple):
    """A run: seconds it took, latency in ms of each request, how many failed."""

    seconds: float
    latencies: list[float]
    failed: int

    @property
    def rps(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0


def body(model: str, *, stream: bool = False, serial: int | None = None, kb: float = 3.0, chunks: int = 0) -> bytes:
    """A chat request of about `kb` KB; with `serial` no two are the same. `chunks`: how many a mock streams."""
    text = "What does it cost to cross the bridge? " * max(1, round((kb * 1_000 - 200) / 39 if kb != 3.0 else 60))
    content = text if serial is None else f"{serial} {text}"
    request: dict[str, object] = {
        "model": model,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}],
        "temperature": 0,
        "max_tokens": chunks or 256,
    }
    if stream:
        request["stream"] = True
    return json.dumps(request).encode()


class _Client:
    def __init__(self, url: str, path: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.head = (
            f"POST {parts.path.rstrip('/')}{path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
            f"Accept: */*\r\nUser-Agent: load\r\n{extra}"
        )

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=1 << 20)

    async def send(self, payload: bytes) -> bool:
        self.writer.write(f"{self.head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        good = b" 200 " in head[:20]
        at = head.find(b"content-length:")
        if at >= 0:
            await self.reader.readexactly(int(head[at + 15 : head.index(b"\r\n", at)]))
        else:
            while True:
                size = int((await self.reader.readline()).split(b";")[0], 16)
                await self.reader.readexactly(size + 2)
                if size == 0:
                    break
        return good


async def fire(
    url: str,
    requests: int,
    concurrency: int,
    *,
    model: str = "mock-model",
    stream: bool = False,
    same: bool = False,
    first: int = 0,
    path: str = "/v1/chat/completions",
    key: str = "key",
    headers: Mapping[str, str] | None = None,
    kb: float = 3.0,
    chunks: int = 20,
) -> Shot:
    """Sends `requests` over `concurrency` connections and waits for all. `headers`: further ones of a system; `kb`: the
    size of bodies; `chunks`: of a stream."""
    sent = {"Authorization": f"Bearer {key}", **(headers or {})}
    clients = [_Client(url, path, sent) for _ in range(concurrency)]
    await asyncio.gather(*[client.connect() for client in clients])
    serial = iter(range(first, first + requests))
    latencies: list[float] = []
    failed = 0

    async def work(client: _Client) -> None:
        nonlocal failed
        for number in serial:
            serial_ = None if same else number
            payload = body(model, stream=stream, serial=serial_, kb=kb, chunks=chunks if stream else 0)
            began = time.perf_counter()
            if not await client.send(payload):
                failed += 1
            latencies.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*[work(client) for client in clients])
    seconds = time.perf_counter() - began
    for client in clients:
        client.writer.close()
    return Shot(seconds, latencies, failed)
