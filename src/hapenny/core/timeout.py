"""A time limit for a stretch of a task: `asyncio.timeout` in its cheapest form."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any


class within:
    """`with within(seconds):` raises `TimeoutError` when what it holds has not ended by then.

    It cancels the task inside, once, and takes that cancellation back (as `asyncio.timeout` does: a cancellation from
    elsewhere goes on as one). It costs a timer and no coroutines; it cannot be rescheduled.
    """

    __slots__ = ("_cancelling", "_late", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._late = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a limit needs a task to end")
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        loop = task.get_loop()
        self._timer: asyncio.Handle = (
            loop.call_later(self._seconds, self._end) if self._seconds > 0 else loop.call_soon(self._end)
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _end(self) -> None:
        self._late = True
        self._task.cancel()
