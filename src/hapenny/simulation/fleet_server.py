"""A continuous-batching model server in virtual time, step by step.

Each step decodes one token of every running sequence and prefills at most one chunk of a waiting prompt (chunked
prefill, Sarathi-Serve, OSDI 2024). Sequences live in a bounded KV memory; when it is full the youngest is preempted
and recomputed later, as vLLM does. Prompts whose prefix is still in memory skip that part of their prefill.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import msgspec

from hapenny.core.clock import Clock


class ServerCard(msgspec.Struct, kw_only=True, frozen=True):
    """How one server behaves; all figures assumed, of the order of a 70B model on four GPUs.

    A step takes `step_s` + `sequence_s` x running sequences + chunk / `prefill_tokens_per_s`. `kv_tokens`: the
    memory for prompts and answers together; `cached_tokens` of it may hold prefixes nobody uses. `start_s`: from start
    to ready. `most`: sequences the server itself runs at once; others wait inside it.
    """

    step_s: float = 0.016
    sequence_s: float = 0.0004
    prefill_tokens_per_s: float = 9_000.0
    chunk: int = 512
    kv_tokens: int = 160_000
    cached_tokens: int = 40_000
    most: int = 256
    start_s: float = 180.0


class _Sequence:
    __slots__ = ("began", "first", "held", "input", "left", "made", "output", "prefilled", "prefix", "serial", "until")

    def __init__(self, serial: int, input_tokens: int, output: int, prefix: str) -> None:
        self.serial = serial
        self.input = input_tokens
        self.output = output
        self.prefix = prefix
        self.prefilled = 0
        self.held = 0
        self.made = 0
        self.until = 0
        self.began: Callable[[], None] | None = None
        self.first = False
        self.left: asyncio.Future[int] = asyncio.get_running_loop().create_future()


class Server:
    """One server. `call` runs a sequence; totals are tokens and sequences."""

    def __init__(self, clock: Clock, card: ServerCard | None = None, *, ready_at: float = 0.0) -> None:
        self.clock = clock
        self.card = card or ServerCard()
        self.ready_at = ready_at
        self.prefill_tokens = self.decode_tokens = self.preemptions = self.prefix_hits = 0
        self._serial = 0
        self._step = 0
        self._waiting: deque[_Sequence] = deque()
        self._filling: _Sequence | None = None
        self._running: dict[int, _Sequence] = {}
        self._finishing: list[tuple[int, int, _Sequence]] = []
        self.kv = 0
        self._cache: OrderedDict[str, int] = OrderedDict()
        self._cached = 0
        self._engine: asyncio.Task[None] | None = None

    @property
    def inside(self) -> int:
        """Sequences waiting or running."""
        return len(self._waiting) + len(self._running) + (self._filling is not None)

    async def call(
        self,
        input_tokens: int,
        max_tokens: int,
        output_tokens: int,
        *,
        prefix: str = "",
        on_begin: Callable[[], None] | None = None,
    ) -> int:
        """Runs one sequence and returns its output tokens; cancelling it frees its memory at once."""
        self._serial += 1
        sequence = _Sequence(self._serial, input_tokens, max(1, min(output_tokens, max_tokens)), prefix)
        sequence.began = on_begin
        self._waiting.append(sequence)
        if self._engine is None or self._engine.done():
            self._engine = asyncio.get_running_loop().create_task(self._run())
        try:
            return await sequence.left
        finally:
            if not sequence.left.done() or sequence.left.cancelled():
                self._leave(sequence)

    async def _run(self) -> None:
        if self.clock.now() < self.ready_at:
            await self.clock.sleep(self.ready_at - self.clock.now())
        card = self.card
        while self._waiting or self._running or self._filling is not None:
            chunk = self._fill()
            running = len(self._running)
            seconds = card.step_s + card.sequence_s * running + chunk / card.prefill_tokens_per_s
            await self.clock.sleep(seconds)
            self._step += 1
            self.prefill_tokens += chunk
            self.decode_tokens += running
            self.kv += len(self._running)
            while self._finishing and self._finishing[0][0] <= self._step:
                _, _, sequence = heapq.heappop(self._finishing)
                if self._running.get(sequence.serial) is sequence and sequence.until <= self._step:
                    self._finish(sequence)
            self._promote()
            while self.kv > card.kv_tokens and len(self._running) > 1:
                self._preempt()

    def _fill(self) -> int:
        """Tokens of the next prompt that this step prefills."""
        card = self.card
        if self._filling is None and self._waiting and len(self._running) < card.most:
            sequence = self._waiting[0]
            need = sequence.input + sequence.made
            self._evict(need)
            if self.kv + self._cached + need <= card.kv_tokens or not self._running:
                self._waiting.popleft()
                self._filling = sequence
                self.kv += need
                sequence.held = need
                if sequence.prefix in self._cache:
                    sequence.prefilled = min(need - 1, self._cache[sequence.prefix])
                    self._cache.move_to_end(sequence.prefix)
                    self.prefix_hits += 1
        if self._filling is None:
            return 0
        sequence = self._filling
        chunk = min(card.chunk, sequence.held - sequence.prefilled)
        sequence.prefilled += chunk
        return chunk

    def _promote(self) -> None:
        """A prompt that is prefilled has made its first token and starts to decode."""
        sequence = self._filling
        if sequence is None or sequence.prefilled < sequence.held:
            return
        self._filling = None
        sequence.made += 1
        if not sequence.first:
            sequence.first = True
            if sequence.began is not None:
                sequence.began()
        sequence.until = self._step + sequence.output - sequence.made
        self._running[sequence.serial] = sequence
        if sequence.until <= self._step:
            self._finish(sequence)
        else:
            heapq.heappush(self._finishing, (sequence.until, sequence.serial, sequence))

    def _finish(self, sequence: _Sequence) -> None:
        sequence.made = sequence.output
        self._free(sequence)
        if sequence.prefix:
            self._cached -= self._cache.pop(sequence.prefix, 0)
            self._cache[sequence.prefix] = sequence.input
            self._cached += sequence.input
            self._evict(0)
        if not sequence.left.done():
            sequence.left.set_result(sequence.output)

    def _free(self, sequence: _Sequence) -> None:
        """Returns the memory of a running sequence: its prompt and a token a step since."""
        if self._running.pop(sequence.serial, None) is None:
            return
        decoded = sequence.output - 1 - max(0, sequence.until - self._step) - (sequence.held - sequence.input)
        self.kv = max(0, self.kv - sequence.held - max(0, decoded))

    def _preempt(self) -> None:
        """The youngest running sequence gives its memory up and is recomputed later."""
        sequence = self._running[max(self._running)]
        sequence.made = max(1, sequence.output - max(0, sequence.until - self._step))
        self._free(sequence)
        sequence.prefilled = 0
        self._waiting.appendleft(sequence)
        self.preemptions += 1

    def _leave(self, sequence: _Sequence) -> None:
        if sequence.serial in self._running:
            self._free(sequence)
        elif self._filling is sequence:
            self._filling = None
            self.kv -= sequence.held
        elif sequence in self._waiting:
            self._waiting.remove(sequence)

    def _evict(self, need: int) -> None:
        """Forgets prefixes, oldest first, until they fit their share and `need` more tokens fit the memory."""
        card = self.card
        while self._cache and (self._cached > card.cached_tokens or self.kv + self._cached + need > card.kv_tokens):
            _, tokens = self._cache.popitem(last=False)
            self._cached -= tokens


def describe(server: Server) -> dict[str, Any]:
    """Running totals, for tests and reports."""
    return {
        "prefill_tokens": server.prefill_tokens,
        "decode_tokens": server.decode_tokens,
        "preemptions": server.preemptions,
        "prefix_hits": server.prefix_hits,
        "inside": server.inside,
    }
