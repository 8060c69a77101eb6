"""A mock upstream with zero delay: an asyncio protocol that knows one answer, and streams of as many chunks as
`max_tokens` asks for; in OpenAI's dialect, and in Bedrock's Converse as an event stream.

`python -m benchmarks.overhead.mock` prints its port.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from functools import lru_cache
from typing import Any, cast

import uvloop

from hapenny.protocols.eventstream import event

CHUNKS = 20
"""Of a stream that states no number."""
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
_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
_MODELS = json.dumps({"object": "list", "data": [{"id": "mock-model", "object": "model"}]}).encode()
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
_SSE, _EVENTS = b"text/event-stream", b"application/vnd.amazon.eventstream"
_ASKED = re.compile(rb'"max_tokens" ?: ?(\d{1,6})|"maxTokens" ?: ?(\d{1,6})')


def _chunk(**fields: object) -> bytes:
    base = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1700000000, "model": "mock-model"}
    return b"data: " + json.dumps({**base, **fields}).encode() + b"\n\n"


@lru_cache(16)
def sse(chunks: int) -> list[bytes]:
    """The frames of a stream in OpenAI's dialect."""
    usage = {"prompt_tokens": 600, "completion_tokens": 2 * chunks, "total_tokens": 600 + 2 * chunks}
    return [
        _chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]),
        *[_chunk(choices=[{"index": 0, "delta": {"content": "halfpenny "}, "finish_reason": None}])] * chunks,
        _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        _chunk(choices=[], usage=usage),
        b"data: [DONE]\n\n",
    ]


def _event(name: str, fields: dict[str, Any]) -> bytes:
    return event(name, json.dumps(fields).encode())


@lru_cache(16)
def events(chunks: int) -> list[bytes]:
    """The frames of a Converse stream."""
    usage = {"inputTokens": 600, "outputTokens": 2 * chunks, "totalTokens": 600 + 2 * chunks}
    return [
        _event("messageStart", {"role": "assistant"}),
        *[_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "halfpenny "}})] * chunks,
        _event("contentBlockStop", {"contentBlockIndex": 0}),
        _event("messageStop", {"stopReason": "end_turn"}),
        _event("metadata", {"usage": usage, "metrics": {"latencyMs": 9}}),
    ]


class Mock(asyncio.Protocol):
    """Answers requests in order on one connection."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.streams: deque[asyncio.Future[None]] = deque(maxlen=4)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"content-length:")
            stop = head.find(b"\r\n", at)
            length = int(head[at + 15 : stop if stop > 0 else end]) if at >= 0 else 0
            if at < 0 and b"transfer-encoding: chunked" in head:  # as Node and Envoy send
                last = self.buffer.find(b"0\r\n\r\n", end + 4)
                if last < 0:
                    return
                length = last + 5 - end - 4
            if len(self.buffer) < end + 4 + length:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            del self.buffer[: end + 4 + length]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        """Answers one request."""
        if head.startswith(b"get ") and b"/models" in head[:60]:
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(_MODELS), _MODELS)
            )
        elif b"converse-stream" in head:
            self.streams.append(asyncio.ensure_future(self.stream(_EVENTS, events(_asked(body)))))
        elif b'"stream":true' in body or b'"stream": true' in body:
            self.streams.append(asyncio.ensure_future(self.stream(_SSE, sse(_asked(body)))))
        else:
            self.transport.write(_PLAIN)

    async def stream(self, kind: bytes, frames: list[bytes]) -> None:
        """One write a frame, yielding in between, so that frames arrive one by one as from a model."""
        self.transport.write(_STREAM_HEAD % kind)
        for frame in frames:
            self.transport.write(b"%x\r\n%s\r\n" % (len(frame), frame))
            await asyncio.sleep(0)
        self.transport.write(b"0\r\n\r\n")


def _asked(body: bytes) -> int:
    found = _ASKED.search(body)
    return int(found[1] or found[2]) if found is not None else CHUNKS


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Mock, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
