"""The one source of time, chance and ids (design: one code, two clocks).

Every room takes a `Clock` as an argument. With `RealClock` it is the machine's; with the virtual loop of
`simulation/` the same production code runs in simulated time. `time`, `random`, `uuid` and thread hand-offs are
banned everywhere else by lint.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TypeVar

from hapenny.core.threads import Threads

T = TypeVar("T")


class Clock(Protocol):
    """Time, randomness, ids and off-loop work."""

    @property
    def random(self) -> random.Random:
        """The deployment's source of chance; seeded when virtual."""

    def now(self) -> float:
        """Monotonic seconds: waits, limits and durations. Comparable with `loop.time()` only when virtual."""

    def wall(self) -> float:
        """Seconds since the epoch: ledger, TTL, accounting windows, signatures."""

    def new_id(self, prefix: str = "") -> str:
        """A fresh id of 96 random bits behind `prefix`."""

    def secret(self) -> bytes:
        """32 bytes that nobody can guess, also not from ids and draws that were seen; drawn from the seed when
        virtual."""

    async def sleep(self, seconds: float) -> None:
        """Waits `seconds` of this clock."""

    async def work(self, kind: str, units: float, fn: Callable[[], T]) -> T:
        """Runs blocking `fn` off the loop.

        A real clock uses one of a few threads of that `kind`; what comes behind a colon in it are threads of their own.
        A virtual clock runs it inline and lets `units` of modelled work of `kind` pass.
        """


class RealClock:
    """The machine's clock."""

    def __init__(self, seed: int | None = None) -> None:
        self.random = random.Random(seed) if seed is not None else random.Random(os.urandom(16))
        self._threads: dict[str, Threads] = {}

    now = staticmethod(time.monotonic)
    """Monotonic seconds. Asked some forty times a request, so without a frame of its own."""
    wall = staticmethod(time.time)
    """Epoch seconds."""

    def new_id(self, prefix: str = "") -> str:
        """A fresh random id."""
        return f"{prefix}{self.random.getrandbits(96):024x}"

    def secret(self) -> bytes:
        """From the operating system, never from the generator whose numbers become ids."""
        return os.urandom(32)

    async def sleep(self, seconds: float) -> None:
        """Waits on the running loop."""
        await asyncio.sleep(seconds)

    async def work(self, kind: str, units: float, fn: Callable[[], T]) -> T:
        """Runs `fn` in a thread."""
        threads = self._threads.get(kind)
        if threads is None:
            threads = self._threads[kind] = Threads(kind)
        return await threads.run(fn)


def uptime() -> float:
    """Seconds that pass whatever becomes of this process, also while it is stopped or the machine sleeps: for what
    others judge by clocks of their own, such as a lease in a store."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class within:
    """A time limit for a stretch of a task, `asyncio.timeout` in its cheapest form: `with within(seconds):` raises
    `TimeoutError` when what it holds has not ended by then.

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
