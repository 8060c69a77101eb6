"""Sends planned requests through a backend and notes the times of what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec import Struct

from hapenny.backends.contract import Backend
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import TextDelta, ThinkingDelta, Tokens, ToolCallDelta, Usage
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Message, Parameters, Request, Text
from hapenny.studies.loadtest.plan import Planned

CONTENT = (TextDelta, ThinkingDelta, ToolCallDelta)
"""Events that are part of the answer itself."""


class Sent(Struct, frozen=True, kw_only=True):
    """One request and what came of it. Seconds; None: it never came."""

    at: float
    """From the start of the test."""
    first: float | None = None
    """Until the first content."""
    last: float | None = None
    """Until the last content."""
    whole: float | None = None
    """Until the answer's end."""
    chunks: int = 0
    """Pieces of content."""
    tokens: Tokens | None = None
    """As reported; None: nothing was."""
    error: str = ""
    """Kind of the failure, "" for none."""
    why: str = ""
    """The failure in words."""

    @property
    def between(self) -> float | None:
        """Mean seconds between two tokens of the answer, the first one left out."""
        if self.error or self.first is None or self.last is None or self.tokens is None or self.tokens.output < 2:
            return None
        return (self.last - self.first) / (self.tokens.output - 1)


class Sender:
    """A client of one server.

    Args:
        backend: speaks its dialect.
        model: asked for.
        clock: of times.
        stream: whether answers are streamed; otherwise there is no first content to wait for.
        timeout_s: the longest that an answer may take.
    """

    def __init__(self, backend: Backend, model: str, clock: Clock, *, stream: bool = True, timeout_s: float = 120.0):
        self._backend, self._model, self._clock = backend, model, clock
        self._stream, self._timeout_s = stream, timeout_s
        self._start = 0.0

    async def run(
        self, planned: Sequence[Planned], *, callers: int = 1, watch: Callable[[Sent], None] = lambda sent: None
    ) -> list[Sent]:
        """Sends everything; what came of each, in order. `callers` is for requests without a time."""
        self._start = self._clock.now()
        if planned and planned[0].at is not None:
            return list(await asyncio.gather(*[self._timed(each, watch) for each in planned]))
        results: list[Sent | None] = [None] * len(planned)
        numbers = iter(range(len(planned)))

        async def caller() -> None:
            for number in numbers:
                sent = results[number] = await self.send(planned[number])
                watch(sent)

        await asyncio.gather(*[caller() for _ in range(max(1, callers))])
        return [sent for sent in results if sent is not None]

    async def _timed(self, planned: Planned, watch: Callable[[Sent], None]) -> Sent:
        assert planned.at is not None
        await self._clock.sleep(max(0.0, self._start + planned.at - self._clock.now()))
        sent = await self.send(planned)
        watch(sent)
        return sent

    async def send(self, planned: Planned) -> Sent:
        """One request. Never raises for what the server says."""
        began = self._clock.now()
        at = began - self._start
        first = last = None
        chunks, tokens = 0, None
        request = Request(
            protocol="openai",
            model=self._model,
            system=(Text(planned.system),) if planned.system else (),
            messages=(Message("user", (Text(planned.prompt),)),),
            parameters=Parameters(max_tokens=planned.max_tokens),
            stream=self._stream,
            stream_usage=self._stream,
        )
        limits = Limits(began + self._timeout_s, began + self._timeout_s, self._timeout_s, self._timeout_s)
        try:
            source = await self._backend.call(request, Target(self._model, self._backend.name), limits)
            try:
                while (events := await source.read()) is not None:
                    now = self._clock.now() - began
                    for event in events:
                        if isinstance(event, CONTENT):
                            first = now if first is None else first
                            last = now
                            chunks += 1
                        elif isinstance(event, Usage):
                            tokens = event.tokens
            finally:
                source.close()
        except Failure as failure:
            return Sent(
                at=at, first=first, last=last, chunks=chunks, tokens=tokens, error=failure.kind, why=str(failure)
            )
        whole = self._clock.now() - began
        error = "" if chunks else "empty"
        if not self._stream:
            first = last = None  # it came all at once
        return Sent(at=at, first=first, last=last, whole=whole, chunks=chunks, tokens=tokens, error=error)

    async def aclose(self) -> None:
        """Lets go of all connections."""
        await self._backend.aclose()
