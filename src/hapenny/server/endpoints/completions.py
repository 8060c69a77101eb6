"""OpenAI's older completions: a prompt, or several, each answered through the gateway by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.core.errors import Failure
from hapenny.core.messages import Request
from hapenny.protocols.openai.completions import Completions
from hapenny.protocols.openai.completions import request as prompts
from hapenny.protocols.openai.completions.stream import Tally
from hapenny.server.call import Call
from hapenny.server.endpoints.chat import answer
from hapenny.server.transport.messages import Pieces, Response

_TOGETHER = 8
"""Prompts of one request that are answered at once."""
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_OF_ONE = frozenset(("x-hapenny-cost", "x-hapenny-saved"))
"""Headers that speak of one prompt alone."""


class _Prompt:
    """One prompt of a request, as a surface that has read it already."""

    def __init__(self, request: Request, codec: Completions) -> None:
        self.codec = codec
        self._request = request

    def decode(self, body: bytes, model: str | None, headers: Mapping[str, str]) -> Request:
        """The prompt."""
        return self._request


async def create(call: Call) -> Response:
    """One request, whole or streamed.

    Raises:
        Failure: where there is no exchange yet.
    """
    requests = prompts.decode(call.body, None)
    tally = Tally(len(requests))
    choices = requests[0].parameters.n or 1
    surfaces = [_Prompt(each, Completions(i * choices, tally)) for i, each in enumerate(requests)]
    first = await answer(call, surfaces[0])
    if len(surfaces) == 1 or first.status != 200:
        return first
    if first.pieces is not None:
        first.pieces = _Row(call, surfaces[1:], first.pieces)
        return first
    return await _merged(call, surfaces[1:], first)


async def _merged(call: Call, surfaces: list[_Prompt], first: Response) -> Response:
    """The answers to several prompts as one; the first that fails is the answer."""
    gate = asyncio.Semaphore(_TOGETHER)

    async def one(surface: _Prompt) -> Response:
        async with gate:
            return await answer(call, surface)

    rest = await asyncio.gather(*[one(surface) for surface in surfaces])
    for response in rest:
        if response.status != 200:
            return response
    whole: dict[str, Any] = msgspec.json.decode(first.body)
    for response in rest:
        more = msgspec.json.decode(response.body)
        whole["choices"] += more["choices"]
        for name in _COUNTS:
            if name in (whole.get("usage") or {}):
                whole["usage"][name] += (more.get("usage") or {}).get(name, 0)
    headers = {name: value for name, value in first.headers.items() if name not in _OF_ONE}
    return Response(msgspec.json.encode(whole), headers=headers)


class _Row:
    """Streams one behind the other."""

    __slots__ = ("_call", "_left", "_now", "last", "late")

    def __init__(self, call: Call, left: list[_Prompt], first: Pieces) -> None:
        self.last = False
        self.late = first.late
        self._call = call
        self._left = left
        self._now = first

    async def read(self) -> bytes | None:
        """The next piece of the stream under way; behind its end that of the next one. A stream that failed is the
        end of all."""
        while True:
            data = await self._now.read()
            over = data is None or self._now.last
            failed = over and data is not None and data.startswith(b'data: {"error"')
            if not over or not self._left or failed:
                self.last = over
                return data
            response, failure = await self._next()
            if response is None or response.pieces is None:
                self.last = True
                return (data or b"") + self._now.cut(failure or Failure("upstream", "a prompt was not answered"))
            self._now.close()
            self._now = response.pieces
            if data:
                return data

    async def _next(self) -> tuple[Response | None, Failure | None]:
        try:
            response = await answer(self._call, self._left.pop(0))
        except Failure as failure:
            return None, failure
        return response, response.failure

    def silence(self) -> bytes:
        """A keep-alive of the dialect."""
        return self._now.silence()

    def cut(self, failure: Failure) -> bytes:
        """The dialect's error event."""
        return self._now.cut(failure)

    def close(self) -> None:
        """Lets go of the upstream."""
        self._now.close()
