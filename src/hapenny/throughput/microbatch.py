"""Micro-batches: many small calls of one kind become few larger ones, where their API takes several items a call.

The gateway batches embedding calls, local and paid. Rerank calls are not batched: the API of a reranker takes one
question with its passages, so calls of two questions cannot share one. Requests are classified without a call.

A call that finds nothing in flight goes at once, alone: idle time never waits. While calls are in flight, later ones
gather until the window ends, the batch is full by items or tokens, or a place becomes free and the window is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.guard import Guard

Item = TypeVar("Item")
Result = TypeVar("Result")


class MicroBatchSpec(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Micro-batching as configured. `window_s`: longest wait with a place free; `items`, `tokens`: largest batch;
    `places`: batches in flight; `queue`: calls that may wait."""

    window_s: float = 0.01
    items: int = 64
    tokens: int = 8_192
    places: int = 4
    queue: int = 10_000

    def __post_init__(self) -> None:
        if self.window_s < 0:
            raise ValueError(f"window_s: {self.window_s} is no span of time; give 0 or more seconds")
        for name in ("items", "tokens", "places", "queue"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: give at least 1")


class QueueFull(Exception):
    """More calls wait than the queue may hold."""


class MicroBatcher(Generic[Item, Result]):
    """Gathers items for `run`, which answers a batch in its order.

    `size` is an item's tokens. A batch that fails fails for its items; if it had several, each is tried once more
    alone, so that one bad item cannot fail its neighbours, unless `alone` says of the error that it would not help.
    """

    def __init__(
        self,
        clock: Clock,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        size: Callable[[Item], int],
        spec: MicroBatchSpec | None = None,
        alone: Callable[[Exception], bool] = lambda error: True,
    ) -> None:
        self._alone = alone
        self.spec = spec or MicroBatchSpec()
        self._clock = clock
        self._run = run
        self._size = size
        self._waiting: deque[tuple[Item, int, asyncio.Future[Result], float]] = deque()
        self._tokens = 0
        self._flying: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.guard = Guard("micro-batches", clock)
        self._took = 0.0  # seconds a batch takes, a moving mean
        self._sent = -1e9
        self.batches = 0
        self.items = 0

    @property
    def waiting(self) -> int:
        """Calls that wait for a batch."""
        return len(self._waiting)

    async def __call__(self, item: Item) -> Result:
        """The result of one item. Raises what `run` raised, or `QueueFull`."""
        if len(self._waiting) >= self.spec.queue:
            raise QueueFull(f"{len(self._waiting)} calls wait for a batch")
        size = self._size(item)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, size, future, self._clock.now()))
        self._tokens += size
        self._send()
        return await future

    def _send(self) -> None:
        """Sends what may go now, and sets the timer for the rest."""
        spec = self.spec
        while self._waiting and len(self._flying) < spec.places:
            full = len(self._waiting) >= spec.items or self._tokens >= spec.tokens
            # Evenly spaced batches find a place free; bursts of small ones would take all places and then wait.
            spacing = min(spec.window_s, 1.1 * self._took / spec.places) if self._took else spec.window_s
            due = min(self._waiting[0][3] + spec.window_s, self._sent + spacing) - self._clock.now()
            if self._flying and not full and due > 1e-9:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(due, self._rung)
                return
            self._fly()

    def _rung(self) -> None:
        self._timer = None
        self._send()

    def _fly(self) -> None:
        spec = self.spec
        items: list[Item] = []
        futures: list[asyncio.Future[Result]] = []
        tokens = 0
        while self._waiting and len(items) < spec.items:
            item, size, future, _ = self._waiting[0]
            if items and tokens + size > spec.tokens:
                break
            self._waiting.popleft()
            self._tokens -= size
            if future.done():  # its caller has gone
                continue
            items.append(item)
            futures.append(future)
            tokens += size
        if items:
            self._sent = self._clock.now()
            self.batches += 1
            self.items += len(items)
            task = asyncio.get_running_loop().create_task(self._batch(items, futures))
            self._flying.add(task)
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self._send()

    async def _batch(self, items: list[Item], futures: list[asyncio.Future[Result]]) -> None:
        started = self._clock.now()
        try:
            results = await self._run(items)
            took = self._clock.now() - started
            self._took += 0.2 * (took - self._took) if self._took else took
            if len(results) != len(items):
                raise ValueError(f"a batch of {len(items)} items got {len(results)} results")
        except Exception as error:
            if len(items) == 1 or not self._alone(error):
                for future in futures:
                    _fail(future, error)
                return
            for item, future in zip(items, futures, strict=True):
                if not future.done():
                    await self._batch([item], [future])
        except BaseException as error:  # it was cancelled, which those who wait were not
            self.guard.note(error)
            for future in futures:
                _fail(future, Failure("unavailable", "the batch was given up", retry_after=1.0))
            raise
        else:
            for future, result in zip(futures, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _fail(future: asyncio.Future[Result], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
