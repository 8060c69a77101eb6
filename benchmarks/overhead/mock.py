"""A mock upstream with zero delay: an asyncio protocol that knows one answer and one stream of 20 chunks.

`python -m benchmarks.overhead.mock` prints its port.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import cast

import uvloop

WORDS = ("halfpenny " * 60).strip()
ANSWER = json.dumps(
    {
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "mock-model",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": "stop", "logprobs": None}
        ],
        "usage": {"prompt_tokens": 600, "completion_tokens": 120, "total_tokens": 720},
    }
).encode()


def _chunk(**fields: object) -> bytes:
    base = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1700000000, "model": "mock-model"}
    return b"data: " + json.dumps({**base, **fields}).encode() + b"\n\n"


FRAMES = (
    [_chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])]
    + [_chunk(choices=[{"index": 0, "delta": {"content": "halfpenny "}, "finish_reason": None}]) for _ in range(20)]
    + [_chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])]
    + [_chunk(choices=[], usage={"prompt_tokens": 600, "completion_tokens": 40, "total_tokens": 640})]
    + [b"data: [DONE]\n\n"]
)
_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Mock(asyncio.Protocol):
    """Answers POSTs in order on one connection."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.streams: deque[asyncio.Future[None]] = deque(maxlen=4)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            lower = bytes(self.buffer[:head]).lower()
            at = lower.find(b"content-length:")
            end = lower.find(b"\r\n", at)
            length = int(lower[at + 15 : end if end > 0 else head]) if at >= 0 else 0
            if len(self.buffer) < head + 4 + length:
                return
            body = bytes(self.buffer[head + 4 : head + 4 + length])
            del self.buffer[: head + 4 + length]
            if b'"stream":true' in body or b'"stream": true' in body:
                self.streams.append(asyncio.ensure_future(self.stream()))
            else:
                self.transport.write(_PLAIN)

    async def stream(self) -> None:
        # One write a frame, yielding in between, so that frames arrive one by one as from a model.
        self.transport.write(_STREAM_HEAD)
        for frame in FRAMES:
            self.transport.write(b"%x\r\n%s\r\n" % (len(frame), frame))
            await asyncio.sleep(0)
        self.transport.write(b"0\r\n\r\n")


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Mock, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
