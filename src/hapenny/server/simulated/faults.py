"""Faults of the wire itself, for a server that plays a provider: cut frames, corrupt bytes, a dead connection.

A request asks for one by the metadata key `simulate_frame` (OpenAI `metadata`, Bedrock `requestMetadata`) or the header
`x-simulate-frame`: `cut` sends half a frame and closes the connection, `corrupt` flips a bit in the middle of a frame,
`silence` stops sending without closing. Answers without a stream are hit in their body.
"""

from __future__ import annotations

from typing import Literal

from hapenny.core.errors import Failure
from hapenny.server.transport import messages as web

FRAME = "simulate_frame"
HEADER = "x-simulate-frame"

Kind = Literal["cut", "corrupt", "silence"]
KINDS: tuple[Kind, ...] = ("cut", "corrupt", "silence")


class FrameFault:
    """Spoils the third write of a stream, or the body of a whole answer."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._writes = 0

    def spoil(self, data: bytes, *, last: bool = False) -> tuple[bytes, bool]:
        """(what to send instead, whether the connection ends there)."""
        self._writes += 1
        if self._writes < 3 and not last:
            return data, False
        half = len(data) // 2
        if self.kind == "corrupt":
            return data[:half] + bytes([data[half] ^ 0x20]) + data[half + 1 :], False
        return data[:half], True


def lost(failure: Failure) -> bool:
    """Whether a simulated provider's failure is one that no provider tells: the answer just ends, or the line does."""
    return failure.kind == "truncated" or failure.upstream_type == "ConnectionError"


async def cut(request: web.BaseRequest) -> web.StreamResponse:
    """The beginning of a whole answer, and then nothing: the connection closes."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b"{")
    if request.transport is not None:
        request.transport.close()
    return response


def frame_fault(request: web.BaseRequest, metadata: dict[str, object]) -> FrameFault | None:
    """The fault a request asks for."""
    kind = request.headers.get(HEADER) or metadata.get(FRAME)
    return FrameFault(kind) if kind in KINDS else None
