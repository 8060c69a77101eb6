"""Faults of the wire itself, for a server that plays a provider: cut frames, corrupt bytes, a dead connection.

A request asks for one by the metadata key `simulate_frame` (OpenAI `metadata`, Bedrock `requestMetadata`) or the header
`x-simulate-frame`: `cut` sends half a frame and closes the connection, `corrupt` flips a bit in the middle of a frame,
`silence` stops sending without closing. Answers without a stream are hit in their body.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec

from hapenny.core.errors import Failure
from hapenny.server.call import Call, Endpoint
from hapenny.server.transport.messages import Pieces, Response

FRAME = "simulate_frame"
HEADER = "x-simulate-frame"

Kind = Literal["cut", "corrupt", "silence"]
KINDS: tuple[Kind, ...] = ("cut", "corrupt", "silence")
WHOLE = 3
"""The write of a stream that is hit."""


class _Asked(msgspec.Struct):
    metadata: dict[str, Any] | None = None
    request: dict[str, Any] | None = msgspec.field(default=None, name="requestMetadata")


def faulty(endpoint: Endpoint) -> Endpoint:
    """The endpoint, obeying requests for faults."""

    async def answer(call: Call) -> Response:
        response = await endpoint(call)
        if response.failure is not None:
            return _torn() if _lost(response.failure) else response
        kind = _kind(call)
        if kind is not None:
            whole = response.pieces or _Whole(response.body)
            if response.pieces is None:
                response.headers["content-length"] = str(len(response.body))
            response.pieces = _Spoiled(whole, kind, 1 if response.pieces is None else WHOLE)
        return response

    return answer


def _lost(failure: Failure) -> bool:
    """Whether a simulated provider's failure is one that no provider tells: the answer just ends, or the line does."""
    return failure.kind == "truncated" or failure.upstream_type == "ConnectionError"


def _torn() -> Response:
    """The beginning of a whole answer, and then nothing: the connection closes."""
    headers = {"content-type": "application/json", "content-length": "1000"}
    return Response(headers=headers, pieces=_Spoiled(_Whole(b"{}"), "cut", 1))


def _kind(call: Call) -> Kind | None:
    """The fault that a request asks for."""
    wanted: object = call.request.headers.get(HEADER)
    if wanted is None and FRAME.encode() in call.body:
        try:
            asked = msgspec.json.decode(call.body, type=_Asked)
        except (ValueError, RecursionError):
            return None
        wanted = {**(asked.metadata or {}), **(asked.request or {})}.get(FRAME)
    return wanted if wanted in KINDS else None


class _Whole:
    """A whole body as its only piece."""

    last = late = False

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    async def read(self) -> bytes | None:
        """All of it, then None."""
        body, self._body = self._body, None
        return body

    def silence(self) -> bytes:
        """Nothing."""
        return b""

    def cut(self, failure: Failure) -> bytes:
        """Nothing."""
        return b""

    def close(self) -> None:
        """Lets go of the body."""
        self._body = None


class _Spoiled:
    """Pieces of which one is spoiled, with what follows from it.

    Args:
        pieces: as they should be.
        kind: what happens.
        hit: the piece that is spoiled, counted from 1.
    """

    def __init__(self, pieces: Pieces, kind: Kind, hit: int) -> None:
        self._pieces = pieces
        self._kind = kind
        self._left = hit
        self.late = pieces.late

    @property
    def last(self) -> bool:
        """Whether the piece is the last one."""
        return self._pieces.last

    async def read(self) -> bytes | None:
        """The next piece, or what became of it."""
        if self._left == 0 and self._kind != "corrupt":
            if self._kind == "silence":
                await asyncio.get_running_loop().create_future()  # until the client leaves
            raise Failure("truncated", "the simulated connection is cut")
        data = await self._pieces.read()
        if not data:
            return data
        self._left -= 1
        if self._left:
            return data
        half = len(data) // 2
        if self._kind == "corrupt":
            return data[:half] + bytes([data[half] ^ 0x20]) + data[half + 1 :]
        return data[:half]

    def silence(self) -> bytes:
        """A dead connection says nothing."""
        return b""

    def cut(self, failure: Failure) -> bytes:
        """As the pieces do."""
        return self._pieces.cut(failure)

    def close(self) -> None:
        """Lets go of the pieces."""
        self._pieces.close()
