"""How many of our functions a request runs: calls, functions and files, by room, counted over one warm request.

Everything is in one process: the gateway, a client on a raw connection, and a provider that is an asyncio protocol.
`sys.setprofile` sees every Python function that is entered (a coroutine each time it goes on); what does not come from
the package is not counted. The figures depend on Python's version, not on the machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, cast

import hapenny
from benchmarks.overhead.load import body
from hapenny.config import load
from hapenny.gateway.gateway import Gateway
from hapenny.protocols.eventstream import event
from hapenny.server.app import App

OURS = str(Path(hapenny.__file__).parent)
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
DELTAS = 20
WARM = 3
"""Requests before the one that is counted."""
CONFIG = """
server: {{port: 0}}
backends: {{bedrock: {{kind: bedrock, region: us-east-1, base_url: "http://127.0.0.1:{port}", api_key: key}}}}
models: {{m: {{id: "{model}", backend: bedrock}}}}
tiers: {{strong: m}}
routes: {{default: {{preset: safe, holdout: 0}}}}
ledger: {{path: "{ledger}"}}
"""


def _json(name: str, fields: dict[str, Any]) -> bytes:
    return event(name, json.dumps(fields).encode())


FRAMES = (
    _json("messageStart", {"role": "assistant"}),
    *(_json("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "halfpenny "}}) for _ in range(DELTAS)),
    _json("contentBlockStop", {"contentBlockIndex": 0}),
    _json("messageStop", {"stopReason": "end_turn"}),
    _json(
        "metadata",
        {"usage": {"inputTokens": 600, "outputTokens": 40, "totalTokens": 640}, "metrics": {"latencyMs": 9}},
    ),
)
_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: r\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_WHOLE = json.dumps(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "halfpenny " * DELTAS}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 600, "outputTokens": 40, "totalTokens": 640},
        "metrics": {"latencyMs": 9},
    }
).encode()


class Provider(asyncio.Protocol):
    """Bedrock's Converse with one answer; its stream comes frame by frame, each once the one before has been read."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, split, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        lower = head.lower()
        at = lower.find(b"content-length:")
        if not split or len(rest) < int(lower[at + 15 :].split(b"\r\n")[0]):
            return
        self.buffer.clear()
        if b"converse-stream" in head:
            self.task = asyncio.ensure_future(self.stream())
        else:
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(_WHOLE), _WHOLE)
            )

    async def stream(self) -> None:
        self.transport.write(_STREAM)
        for frame in FRAMES:
            for _ in range(8):  # turns of the loop, so that no two frames come in one read
                await asyncio.sleep(0)
            self.transport.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        for _ in range(8):
            await asyncio.sleep(0)
        self.transport.write(b"0\r\n\r\n")


class Profile:
    """Counts how often each function of the package is entered."""

    def __init__(self) -> None:
        self.entered: Counter[CodeType] = Counter()

    def __enter__(self) -> Profile:
        sys.setprofile(self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _seen(self, frame: FrameType, kind: str, _: object) -> None:
        if kind == "call":
            self.entered[frame.f_code] += 1

    def report(self, *, functions: bool = False) -> dict[str, Any]:
        """Calls, functions and files, and calls and functions of each room; each function's too, if asked."""
        ours = {code: n for code, n in self.entered.items() if code.co_filename.startswith(OURS)}
        rooms: dict[str, list[int]] = {}
        for code, n in ours.items():
            room = rooms.setdefault(Path(code.co_filename).relative_to(OURS).parts[0], [0, 0])
            room[0] += n
            room[1] += 1
        ordered = sorted(rooms.items(), key=lambda item: -item[1][0])
        report: dict[str, Any] = {
            "calls": sum(ours.values()),
            "functions": len(ours),
            "files": len({code.co_filename for code in ours}),
            "rooms": {room: {"calls": calls, "functions": number} for room, (calls, number) in ordered},
        }
        if functions:
            report["by_function"] = {
                f"{Path(code.co_filename).relative_to(OURS)}:{code.co_firstlineno} {code.co_qualname}": n
                for code, n in sorted(ours.items(), key=lambda item: -item[1])
            }
        return report


class Client:
    """One connection kept open, which asks and reads to the end of the answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, payload: bytes) -> None:
        """Raises `AssertionError` when the answer is not 200."""
        self._writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer key\r\nContent-Length: %d\r\n\r\n%s" % (len(payload), payload)
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        assert b" 200 " in head[:20], head
        at = head.find(b"content-length:")
        if at >= 0:
            await self._reader.readexactly(int(head[at + 15 : head.index(b"\r\n", at)]))
        else:
            while size := int((await self._reader.readline()).split(b";")[0], 16):
                await self._reader.readexactly(size + 2)
            await self._reader.readexactly(2)


async def count(*, functions: bool = False) -> dict[str, Any]:
    """Both counts: an exact hit, and a streamed miss from an OpenAI client to Bedrock. A request is counted until its
    row is made, which may be after its answer is written."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        provider = await loop.create_server(Provider, "127.0.0.1", 0)
        port = provider.sockets[0].getsockname()[1]
        path = Path(folder, "hapenny.yaml")
        path.write_text(CONFIG.format(port=port, model=MODEL, ledger=Path(folder, "ledger.db")))
        app = App(Gateway(load(str(path))))
        bound = await app.start("127.0.0.1", 0)
        client = Client(*await asyncio.open_connection("127.0.0.1", bound))
        try:
            hit = await _counted(client, [body("m")] * (WARM + 1))
            miss = await _counted(client, [body("m", stream=True, serial=n) for n in range(WARM + 1)])
        finally:
            client._writer.close()
            await app.stop()
            provider.close()
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "exact_hit": hit.report(functions=functions),
        "streamed_miss": {"deltas": DELTAS, **miss.report(functions=functions)},
    }


async def _counted(client: Client, payloads: Sequence[bytes]) -> Profile:
    """The last of `payloads`, after the others; each has the loop's next turns for what it leaves behind."""
    profile = Profile()
    for payload in payloads[:-1]:
        await client.ask(payload)
        await asyncio.sleep(0.6)  # the ledger's batch is written: what is counted is one request's own
    with profile:
        await client.ask(payloads[-1])
        for _ in range(20):
            await asyncio.sleep(0)
    return profile
