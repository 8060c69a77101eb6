"""A provider that keeps account: every answer proves its question, every call is on record.

An OpenAI-compatible server of one process. The answer to a question is a digest of it, so that nobody can be given
another's answer unseen. `GET /calls` is the record: digest, model, tokens, when it began and ended.

`python -m benchmarks.scaleout.provider DELAY_S` prints its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from typing import Any, ClassVar, cast

import uvloop

OUTPUT = 20
"""Tokens of every answer."""
PIECES = 10
PIECE_S = 0.1


def answer_to(question: str) -> str:
    """The one right answer."""
    return "answer " + hashlib.sha256(question.encode()).hexdigest()[:24]


class Provider(asyncio.Protocol):
    calls: ClassVar[list[list[Any]]] = []
    delay = 0.05

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        for task in self.tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (head := self.buffer.find(b"\r\n\r\n")) >= 0:
            lines = bytes(self.buffer[:head]).lower()
            at = lines.find(b"content-length:")
            length = int(lines[at + 15 : (lines + b"\r\n").find(b"\r\n", at)]) if at >= 0 else 0
            if len(self.buffer) < head + 4 + length:
                return
            body = bytes(self.buffer[head + 4 : head + 4 + length])
            target = lines.split(b" ", 2)[1]
            del self.buffer[: head + 4 + length]
            if target == b"/calls":
                self.reply(json.dumps(self.calls).encode())
                continue
            if target == b"/forget":
                self.calls.clear()
                self.reply(b"{}")
                continue
            task = asyncio.ensure_future(self.answer(json.loads(body)))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def answer(self, request: dict[str, Any]) -> None:
        question = request["messages"][-1]["content"]
        if not isinstance(question, str):
            question = question[0]["text"]
        prompt = len(question) // 4 + 8
        line = [answer_to(question), request["model"], prompt, OUTPUT, time.time(), None]
        self.calls.append(line)
        base = {"id": "chatcmpl-x", "created": 1_700_000_000, "model": request["model"]}
        usage = {"prompt_tokens": prompt, "completion_tokens": OUTPUT, "total_tokens": prompt + OUTPUT}
        text = answer_to(question)
        if request.get("stream"):
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            size = -(-len(text) // PIECES)
            for place in range(PIECES):
                await asyncio.sleep(PIECE_S)
                delta = {"role": "assistant", "content": text[place * size : (place + 1) * size]}
                self.chunk({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            self.chunk({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            self.chunk({**base, "choices": [], "usage": usage})
            line[5] = time.time()
            self.transport.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            return
        if self.delay:
            await asyncio.sleep(self.delay)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        line[5] = time.time()
        self.reply(json.dumps({**base, "object": "chat.completion", "choices": [choice], "usage": usage}).encode())

    def chunk(self, event: dict[str, Any]) -> None:
        data = b"data: " + json.dumps({**event, "object": "chat.completion.chunk"}).encode() + b"\n\n"
        self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))

    def reply(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)


async def main() -> None:
    Provider.delay = float(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
