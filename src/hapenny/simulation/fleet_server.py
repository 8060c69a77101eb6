"""A continuous-batching model server on a clock: the engine of `batching`, awaited.

A call waits until its sequence ends; what the engine does between two events takes no turn of the loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from hapenny.core.clock import Clock
from hapenny.simulation.batching import Engine, Sequence, ServerCard

__all__ = ["Server", "ServerCard", "describe"]


class Server:
    """One server. `call` runs a sequence; `engine` has the totals."""

    def __init__(self, clock: Clock, card: ServerCard | None = None, *, ready_at: float = 0.0) -> None:
        self.clock = clock
        self.card = card or ServerCard()
        self.engine = Engine(self.card, ready_at)
        self._timer: asyncio.TimerHandle | None = None
        self._at = math.inf

    @property
    def inside(self) -> int:
        """Sequences waiting or running."""
        return self.engine.inside

    @property
    def kv(self) -> int:
        """Tokens of memory that sequences hold."""
        return self.engine.kv

    @property
    def preemptions(self) -> int:
        """Sequences that gave their memory up to be recomputed later."""
        return self.engine.preemptions

    async def call(
        self,
        input_tokens: int,
        max_tokens: int,
        output_tokens: int,
        *,
        prefix: str = "",
        priority: int = 0,
        on_begin: Callable[[], None] | None = None,
    ) -> int:
        """Runs one sequence and returns its output tokens; cancelling it frees its memory at once.

        `priority`: lower goes first, as vLLM has it.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        sequence = Sequence(
            input_tokens,
            min(output_tokens, max_tokens),
            limit=max_tokens,
            prefix=prefix,
            priority=priority,
            on_first=None if on_begin is None else lambda at: on_begin(),
            on_end=lambda at: None if ended.done() else ended.set_result(None),
        )
        now = self.clock.now()
        self.engine.advance(now)
        self.engine.add(sequence, now)
        self._schedule(loop)
        try:
            await ended
        finally:
            if sequence.ended_at is None:
                now = self.clock.now()
                self.engine.advance(now)
                self.engine.remove(sequence, now)
                self._schedule(loop)
        return sequence.output

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wakes when the engine's next event is due."""
        at = self.engine.next_at
        if at == self._at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._at = at
        if at < math.inf:
            self._timer = loop.call_later(max(0.0, at - self.clock.now()), self._due, loop)

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        # The loop may fire a hair early: what was due is due.
        self.engine.advance(max(self.clock.now(), self._at))
        self._schedule(loop)


def describe(server: Server) -> dict[str, Any]:
    """Running totals, for tests and reports."""
    engine = server.engine
    return {
        "prefill_tokens": engine.prefill_tokens,
        "decode_tokens": engine.decode_tokens,
        "preemptions": engine.preemptions,
        "prefix_hits": engine.prefix_hits,
        "inside": engine.inside,
    }
