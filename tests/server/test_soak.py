"""Many at once, and for long: nothing is lost, nothing is left behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import os
import resource
import statistics
from pathlib import Path

import anthropic
import boto3
import botocore.config
import openai
import pytest

from hapenny.core.errors import Failure
from tests.server.house import TEXT, Scripted, _Slow, serving

PATHS = {
    "/v1/chat/completions": {},
    "/v1/messages": {"max_tokens": 64},
}


def files_allowed(count):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count), hard))


def open_files():
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


def resident_mb():
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6 if status.exists() else 0.0


async def quiet(app, tasks):
    """Waits until no request is under way and the tasks of closed connections have ended."""
    for _ in range(200):
        if not app.services.active and len(asyncio.all_tasks()) <= tasks:
            return
        await asyncio.sleep(0.05)


class Together(Scripted):
    """Holds every answer after its first words until `count` are under way at once."""

    def __init__(self, count):
        super().__init__()
        self.count = count
        self.most = 0
        self.all_here = asyncio.Event()

    async def call(self, request, target, limits):
        source = await super().call(request, target, limits)
        self.most = max(self.most, self.open)
        if self.open >= self.count:
            self.all_here.set()
        return _Held(source, self)


class _Held:
    def __init__(self, source, backend):
        self.source, self.backend = source, backend

    async def read(self):
        if len(self.source.left) <= len(TEXT) - 3:
            await self.backend.all_here.wait()
        return await self.source.read()

    def close(self):
        self.source.close()


async def test_two_hundred_streams_of_the_official_clients_at_once(tmp_path):
    files_allowed(8_192)
    backend = Together(200)
    async with serving(tmp_path, backend, preset="safe") as (url, app):
        before = len(asyncio.all_tasks())
        one = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0)
        other = anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0)
        config = botocore.config.Config(retries={"total_max_attempts": 1}, max_pool_connections=40)
        third = boto3.client(
            "bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=config,
            aws_access_key_id="AKIATEST", aws_secret_access_key="secret",
        )  # fmt: skip

        def ask(number):
            return [{"role": "user", "content": f"What is the toll on day {number}?"}]

        async def of_openai(number):
            stream = await one.chat.completions.create(model="strong", messages=ask(number), stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

        async def of_anthropic(number):
            async with other.messages.stream(model="strong", max_tokens=9, messages=ask(number)) as stream:
                return await stream.get_final_text()

        def of_boto3(number):
            messages = [{"role": "user", "content": [{"text": ask(number)[0]["content"]}]}]
            stream = third.converse_stream(modelId="strong", messages=messages)["stream"]
            deltas = (event.get("contentBlockDelta", {}).get("delta", {}) for event in stream)
            return "".join(delta.get("text", "") for delta in deltas)

        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            texts = await asyncio.gather(
                *[of_openai(number) for number in range(80)],
                *[of_anthropic(number) for number in range(80, 160)],
                *[loop.run_in_executor(pool, of_boto3, number) for number in range(160, 200)],
            )
        assert texts == ["Half a penny."] * 200
        assert backend.most == 200
        await one.close()
        await other.close()
        third.close()
        await quiet(app, before)
        assert (backend.open, backend.closed, app.services.active) == (0, 200, 0)
        assert len(asyncio.all_tasks()) <= before


class Moody(Scripted):
    """Now an answer, now a failure, now one that breaks off in the middle."""

    def __init__(self):
        super().__init__()
        self.number = 0

    async def call(self, request, target, limits):
        self.number += 1
        if self.number % 11 == 0:
            raise Failure("model_error", "constructed")
        source = _Slow(self)
        self.open += 1
        if self.number % 7 == 0:
            source.left = source.left[:4]
        return source


class Traffic:
    """Rounds of mixed requests over raw sockets: whole, streamed, repeated, abandoned, broken, wrong."""

    def __init__(self, url):
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)
        self.serial = 0
        self.statuses = {}

    async def round(self, requests, concurrency=16):
        numbers = iter(range(requests))

        async def work():
            connection = None
            for number in numbers:
                connection = await self.one(number, connection)
            if connection is not None:
                connection[1].close()

        await asyncio.gather(*[work() for _ in range(concurrency)])

    async def one(self, number, connection):
        """Sends a request; returns the connection if it can be used again."""
        if connection is None:
            connection = await asyncio.open_connection(self.host, self.port)
        reader, writer = connection
        self.serial += 1
        path = list(PATHS)[number % 2]
        stream = number % 3 == 0
        what = "the same" if number % 5 == 0 else f"number {self.serial}"
        body = {"model": "strong", "messages": [{"role": "user", "content": f"What is the toll of {what}?"}]}
        data = json.dumps({**body, **PATHS[path], "stream": stream}).encode()
        if number % 13 == 0:
            data = data[:-9]
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"x-hapenny-user: u{self.serial}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        if number % 17 == 0:  # leaves without waiting
            writer.close()
            return None
        head = await reader.readuntil(b"\r\n\r\n")
        status = head[9:12].decode()
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if stream and number % 19 == 0:  # leaves in mid-stream
            writer.close()
            return None
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        if length:
            await reader.readexactly(int(length))
            return connection
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
        return connection


@pytest.mark.long
@pytest.mark.timeout(1_800)
async def test_minutes_of_mixed_traffic_leave_memory_tasks_and_sockets_flat(tmp_path, caplog):
    files_allowed(8_192)
    backend = Moody()
    extra = "stages: {exact: {max_mb: 1}}"
    async with serving(tmp_path, backend, preset="safe", extra=extra) as (url, app):
        traffic = Traffic(url)
        for _ in range(12):  # until the bounded memories (features of 8,192 segments, windows, cache) are full
            await traffic.round(1_500)
        tasks = len(asyncio.all_tasks())
        measured = []
        for _ in range(16):
            await traffic.round(1_500)
            await quiet(app, tasks)
            await app.gateway.ledger.flush()
            gc.collect()
            measured.append((len(gc.get_objects()), resident_mb(), open_files(), len(asyncio.all_tasks())))
        first = [statistics.median(column) for column in zip(*measured[:4], strict=True)]
        last = [statistics.median(column) for column in zip(*measured[-4:], strict=True)]
        objects, megabytes, files, running = (after - before for before, after in zip(first, last, strict=True))
        assert objects < 2_000, measured  # 18,000 requests lie between the two
        assert megabytes < 8, measured
        assert abs(files) <= 4, measured
        assert running <= 2, measured
        assert backend.open == 0
        assert app.services.active == 0
        assert set(traffic.statuses) <= {"200", "400", "424", "502"}, traffic.statuses
        assert traffic.statuses["200"] > 20_000
        assert app.gateway.books.violations == 0
    assert not [record for record in caplog.records if record.levelname == "ERROR"]  # clients that leave are no error
