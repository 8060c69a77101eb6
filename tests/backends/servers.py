"""Small real servers on loopback, and the bytes they speak (constructed after the providers' documentation)."""

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from hapenny.core.events import Event
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Message, Parameters, Protocol, Request, Text

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CLAUDE = "anthropic.claude-haiku-4-5-20251001-v1:0"


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The base URL of a server whose every path goes to `handler`."""
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.2)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def frame(kind: str, name: str, payload: dict[str, object]) -> bytes:
    """One eventstream frame; `kind` is event or exception."""

    def header(key: str, value: str) -> bytes:
        return struct.pack(">B", len(key)) + key.encode() + struct.pack(">BH", 7, len(value)) + value.encode()

    headers = (
        header(f":{kind}-type", name) + header(":content-type", "application/json") + header(":message-type", kind)
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return whole + struct.pack(">I", zlib.crc32(whole))


CONVERSE_STREAM = [
    frame("event", "messageStart", {"role": "assistant"}),
    frame("event", "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Half "}}),
    frame("event", "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a penny"}}),
    frame("event", "contentBlockStop", {"contentBlockIndex": 0}),
    frame("event", "messageStop", {"stopReason": "end_turn"}),
    frame(
        "event",
        "metadata",
        {"usage": {"inputTokens": 11, "outputTokens": 4, "totalTokens": 15}, "metrics": {"latencyMs": 7}},
    ),
]
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Half a penny"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 11, "outputTokens": 4, "totalTokens": 15},
    "metrics": {"latencyMs": 7},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "Half a penny"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 4},
}
CHAT_CHUNKS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "Half "}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "a penny"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}},
]
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Half a penny"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
}
MESSAGE_EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Half "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a penny"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 4},
    },
    {"type": "message_stop"},
]


def chat_sse() -> list[bytes]:
    """A streamed chat completion."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return [b"data: " + json.dumps({**base, **chunk}).encode() + b"\n\n" for chunk in CHAT_CHUNKS] + [
        b"data: [DONE]\n\n"
    ]


def message_sse() -> list[bytes]:
    """A streamed Anthropic message."""
    return [
        b"event: " + str(event["type"]).encode() + b"\ndata: " + json.dumps(event).encode() + b"\n\n"
        for event in MESSAGE_EVENTS
    ]


async def stream(
    request: web.Request, pieces: list[bytes], content_type: str, pause: float = 0.0
) -> web.StreamResponse:
    """Answers with `pieces`, each its own write."""
    response = web.StreamResponse(headers={"content-type": content_type})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
        await asyncio.sleep(pause)
    await response.write_eof()
    return response


def asking(
    protocol: Protocol = "openai", *, streamed: bool = True, model: str = CLAUDE, **parameters: object
) -> Request:
    """A small request."""
    return Request(
        protocol=protocol,
        model=model,
        messages=(Message("user", (Text("What did it cost to cross?"),)),),
        parameters=Parameters(max_tokens=50, **parameters),  # type: ignore[arg-type]
        stream=streamed,
    )


def limits(clock: object, begin: float = 5.0, finish: float = 10.0, idle: float = 5.0) -> Limits:
    """Limits from now on."""
    now = clock.now()  # type: ignore[attr-defined]
    return Limits(now + begin, now + finish, idle)


TARGET = Target(CLAUDE, "b", "us-east-1")


async def drain(source: object) -> list[list[Event]]:
    """All batches of a source."""
    batches = []
    while (batch := await source.read()) is not None:  # type: ignore[attr-defined]
        batches.append(list(batch))
    return batches
