"""Clients of several gateways: each asks one question after the other, goes elsewhere when a gateway is gone, and
checks every answer against its question."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks.scaleout.provider import answer_to

LIMIT_S = 25.0
"""What a client waits: longer than any limit of the gateways."""


class Asked(NamedTuple):
    """One request and what came of it. `status` 0: the connection was lost; -1: nothing came within the limit."""

    at: float
    seconds: float
    gateway: int
    tenant: str
    status: int
    right: bool
    hit: bool
    id: str


class Client:
    """One client with a connection to each gateway that it has met."""

    def __init__(self, urls: list[str], tenant: str, seed: int, *, pause_s: float = 0.0, kept: bool = True) -> None:
        self.urls, self.tenant, self.pause_s = urls, tenant, pause_s
        self.sent = {"temperature": 0} if kept else {}
        self.random = random.Random(seed)
        self.connections: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self.asked: list[Asked] = []
        self.avoid: dict[int, float] = {}

    async def run(self, questions: Iterator[tuple[str, str]], until: float) -> None:
        """Asks (question, model) after (question, model) until `time.monotonic()` is `until`."""
        for question, model in questions:
            if time.monotonic() >= until:
                break
            now = time.monotonic()
            fit = [n for n in range(len(self.urls)) if self.avoid.get(n, 0.0) <= now] or list(range(len(self.urls)))
            await self.ask(self.random.choice(fit), question, model)
            if self.pause_s:
                await asyncio.sleep(self.pause_s * self.random.uniform(0.5, 1.5))
        for _, writer in self.connections.values():
            writer.close()

    async def ask(self, gateway: int, question: str, model: str = "mock-model") -> Asked:
        """One request to one gateway."""
        wall, began = time.time(), time.monotonic()
        status, right, hit, id_ = 0, True, False, ""
        try:
            async with asyncio.timeout(LIMIT_S):
                status, headers, body = await self._exchange(gateway, question, model)
            hit = "hit" in headers.get("cache-status", "") or "collapsed" in headers.get("cache-status", "")
            id_ = headers.get("x-request-id", "")
            if status == 200:
                right = json.loads(body)["choices"][0]["message"]["content"] == answer_to(question)
        except (OSError, asyncio.IncompleteReadError):
            self._drop(gateway)
            self.avoid[gateway] = time.monotonic() + 0.5
        except TimeoutError:
            status = -1
            self._drop(gateway)
        asked = Asked(wall, time.monotonic() - began, gateway, self.tenant, status, right, hit, id_)
        self.asked.append(asked)
        return asked

    async def _exchange(self, gateway: int, question: str, model: str) -> tuple[int, dict[str, str], bytes]:
        if gateway not in self.connections:
            place = urlsplit(self.urls[gateway])
            self.connections[gateway] = await asyncio.open_connection(place.hostname, place.port)
        reader, writer = self.connections[gateway]
        body = json.dumps(
            {**self.sent, "model": model, "max_tokens": 50, "messages": [{"role": "user", "content": question}]}
        ).encode()
        writer.write(_posted(body, self.tenant))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        data = await reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split(" ")[1]), headers, data

    def _drop(self, gateway: int) -> None:
        known = self.connections.pop(gateway, None)
        if known is not None:
            known[1].close()


def _posted(body: bytes, tenant: str, more: bytes = b"") -> bytes:
    """A request on the wire; `more`: further headers."""
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        + more
        + f"authorization: Bearer key-of-{tenant}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )


async def stream(url: str, question: str, tenant: str) -> bool:
    """Whether a streamed answer came whole and right."""
    place = urlsplit(url)
    body = json.dumps(
        {
            "model": "mock-model",
            "stream": True,
            "temperature": 0,
            "messages": [{"role": "user", "content": question}],
        }
    ).encode()
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(_posted(body, tenant, b"connection: close\r\n"))
            data = await reader.read(-1)
            writer.close()
    except (OSError, TimeoutError):
        return False
    text = ""
    for line in data.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:]).get("choices", []):
                text += choice.get("delta", {}).get("content") or ""
    return text == answer_to(question) and b"[DONE]" in data


def popular(seed: int, tenant: str, count: int) -> Iterator[tuple[str, str]]:
    """Questions as people ask them: some again and again (Zipf), each tenant its own."""
    chance = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(count)]
    whole: list[Any] = list(range(count))
    while True:
        for number in chance.choices(whole, weights, k=256):
            yield f"{tenant} asks what crossing number {number} of the bridge costs", "mock-model"


def fresh(seed: int, tenant: str, model: str) -> Iterator[tuple[str, str]]:
    """Questions that nobody asked before."""
    number = 0
    while True:
        number += 1
        yield f"{tenant} asks question {number} of client {seed}, once", model
