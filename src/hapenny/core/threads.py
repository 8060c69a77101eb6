"""Threads for blocking work, by kind: what hangs in one kind (a database that does not answer) never keeps another one
from its threads, and never a process from ending."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

THREADS = 4
"""Of one kind at once."""
WAITING = 10_000
"""Calls of one kind that may wait for a thread."""
IDLE_S = 30.0
"""A thread that was not needed for so long ends."""


class Threads:
    """The threads of one kind."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = 0
        self._free = 0

    async def run(self, fn: Callable[[], T]) -> T:
        """What `fn` returns or raises, from a thread. A caller that is cancelled leaves it running there.

        Raises:
            RuntimeError: more calls than `WAITING` wait already.
        """
        if self._jobs.qsize() >= WAITING:
            raise RuntimeError(f"{WAITING} calls wait for a thread of kind {self._kind!r}")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(loop, future, contextvars.copy_context(), fn))
        with self._lock:
            more = self._running < THREADS and self._free < self._jobs.qsize()
            self._running += more
        if more:
            # A daemon: who waits for a server that is gone does not keep the process.
            threading.Thread(target=self._work, name=f"hapenny {self._kind}", daemon=True).start()
        return await future

    def _work(self) -> None:
        while True:
            with self._lock:
                self._free += 1
            try:
                job: _Job | None = self._jobs.get(timeout=IDLE_S)
            except Empty:
                job = None
            with self._lock:
                self._free -= 1
                if job is None and self._jobs.empty():
                    self._running -= 1
                    return
            if job is not None:
                job.run()


class _Job:
    __slots__ = ("_context", "_fn", "_future", "_loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
        context: contextvars.Context,
        fn: Callable[[], Any],
    ) -> None:
        self._loop = loop
        self._future = future
        self._context = context
        self._fn = fn

    def run(self) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = self._context.run(self._fn)
        except BaseException as raised:
            error = raised
        try:
            self._loop.call_soon_threadsafe(self._tell, result, error)
        except RuntimeError:  # the loop has ended meanwhile: nobody waits
            return

    def _tell(self, result: Any, error: BaseException | None) -> None:
        if self._future.done():
            return
        if error is None:
            self._future.set_result(result)
        elif isinstance(error, StopIteration):  # which no future takes
            self._future.set_exception(RuntimeError("work raised StopIteration"))
        else:
            self._future.set_exception(error)
