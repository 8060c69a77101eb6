"""Virtual time: an event loop that never sleeps, and the clock that goes with it.

The loop's selector advances a counter instead of waiting, so hours pass in seconds while the very code that serves
runs. It is closed to the world: any descriptor but the loop's own self-pipe, and any thread, is refused. With equal
seeds two runs are equal: tasks and futures hash by creation order, so sets of them iterate the same way each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import selectors
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from hapenny.core.clock import RealClock

T = TypeVar("T")

EPOCH = 1_767_225_600.0
"""2026-01-01T00:00:00Z, the wall time at which virtual time starts."""

STALL_STEPS = 5_000_000
"""Loop iterations without any time passing after which a run is declared stuck."""


class Deadlock(RuntimeError):
    """Everything waits and nothing is scheduled: in real time this would hang for ever."""


class Livelock(RuntimeError):
    """The loop keeps turning but time never moves."""


class ForbiddenDescriptor(RuntimeError):
    """Code under virtual time touched a socket, pipe or file of the real world."""


class _NumberedTask(asyncio.Task[T]):
    """A task that hashes by creation order, never by address."""

    def __init__(self, coro: Any, *, loop: VirtualLoop, **kwargs: Any) -> None:
        self.number = loop.next_number()
        super().__init__(coro, loop=loop, **kwargs)

    def __hash__(self) -> int:
        return self.number


class _NumberedFuture(asyncio.Future[Any]):
    def __init__(self, *, loop: VirtualLoop) -> None:
        self.number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class _Selector(selectors.BaseSelector):
    """Accepts the loop's self-pipe only; `select` moves time instead of waiting."""

    def __init__(self) -> None:
        self._real = selectors.SelectSelector()
        self.sealed = False
        self.now = 0.0
        self.limit: float | None = None
        self._still = 0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._refuse_if_sealed(fileobj)
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._refuse_if_sealed(fileobj)
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = self._real.select(0)
            if not ready:
                raise Deadlock("every task waits and no timer is set; nothing can ever wake this loop")
            return ready
        if timeout > 0:
            before = self.now
            self.now += timeout
            if self.limit is not None and self.now > self.limit:
                raise TimeoutError(f"virtual time passed its limit of {self.limit} s")
            if self.now > before:
                self._still = 0
                return []
        self._still += 1
        if self._still > STALL_STEPS:
            raise Livelock(f"{STALL_STEPS} loop iterations at virtual second {self.now} without time passing")
        return []

    def _refuse_if_sealed(self, fileobj: Any) -> None:
        if self.sealed:
            raise ForbiddenDescriptor(f"virtual time has no real I/O: descriptor {fileobj!r} was registered")


class VirtualClock:
    """`core.clock.Clock` of a virtual loop: its time, seeded chance, seeded ids, work that takes modelled time.

    `costs` gives the seconds that one unit of each kind of `work` takes; a kind without an entry takes none.
    """

    def __init__(
        self, loop: VirtualLoop, seed: int = 0, *, epoch: float = EPOCH, costs: Mapping[str, float] | None = None
    ) -> None:
        self._loop = loop
        self._ids = RealClock(seed ^ 0x1D5).random
        self.random = RealClock(seed).random
        self.epoch = epoch
        self.costs = dict(costs or {})

    def now(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._loop.time()

    def wall(self) -> float:
        """Virtual epoch seconds."""
        return self.epoch + self._loop.time()

    def new_id(self, prefix: str = "") -> str:
        """An id of 96 seeded bits; draws from a stream of its own, so that ids never shift other chance."""
        return f"{prefix}{self._ids.getrandbits(96):024x}"

    def secret(self) -> bytes:
        """32 bytes of the seed."""
        return self._ids.randbytes(32)

    async def sleep(self, seconds: float) -> None:
        """Lets `seconds` of virtual time pass."""
        await asyncio.sleep(seconds)

    async def work(self, kind: str, units: float, fn: Callable[[], T]) -> T:
        """Runs `fn` inline, then lets its modelled time pass."""
        result = fn()
        await asyncio.sleep(self.costs.get(kind.partition(":")[0], 0.0) * units)
        return result


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector event loop in virtual time. `clock` is its `VirtualClock`.

    `worked` says how many seconds this process has computed so far: then these pass, too, so that what is measured is
    waiting and computing, whatever else the machine does. Two such runs are not equal to the last digit.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        epoch: float = EPOCH,
        costs: Mapping[str, float] | None = None,
        worked: Callable[[], float] | None = None,
    ) -> None:
        self._number = 0
        self._worked = worked
        self._elsewhere = worked() if worked is not None else 0.0
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self._virtual.sealed = True
        self._clock_resolution = 1e-9  # timers closer than this fire together, on every platform
        self.clock = VirtualClock(self, seed, epoch=epoch, costs=costs)
        self.set_task_factory(_make_task)

    def next_number(self) -> int:
        """The ordinal of the next task or future."""
        self._number += 1
        return self._number

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        worked = self._worked
        return self._virtual.now if worked is None else self._virtual.now + worked() - self._elsewhere

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[None]:
        """What is computed inside takes no time here: another machine does it. Nothing inside may wait."""
        worked = self._worked
        began = worked() if worked is not None else 0.0
        try:
            yield
        finally:
            if worked is not None:
                self._elsewhere += worked() - began

    def limit(self, seconds: float | None) -> None:
        """Virtual time past `seconds` raises `TimeoutError` out of the run."""
        self._virtual.limit = seconds

    def create_future(self) -> asyncio.Future[Any]:
        """A future that hashes by creation order."""
        return _NumberedFuture(loop=self)

    def pending(self) -> list[asyncio.Task[Any]]:
        """Tasks that are not done, oldest first; for tests that look for leaks."""
        tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
        return sorted(tasks, key=hash)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]
        """Always refused: a thread's progress is not part of virtual time."""
        raise RuntimeError(f"virtual time has no threads ({func!r}); use Clock.work")

    def cancel_pending(self) -> None:
        tasks = self.pending()
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def _make_task(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
    *,
    context: contextvars.Context | None = None,
    **kwargs: Any,
) -> asyncio.Task[T]:
    assert isinstance(loop, VirtualLoop)
    return _NumberedTask(coro, loop=loop, context=context, **kwargs)


def run(
    main: Coroutine[Any, Any, T] | Callable[[VirtualClock], Coroutine[Any, Any, T]],
    seed: int = 0,
    *,
    epoch: float = EPOCH,
    costs: Mapping[str, float] | None = None,
    limit: float | None = None,
    worked: Callable[[], float] | None = None,
) -> T:
    """Runs `main` to its end in virtual time and returns its result.

    `main` is a coroutine, or a function that takes the `VirtualClock` and returns one. Tasks still pending at the end
    are cancelled, oldest first. `limit`: virtual seconds after which `TimeoutError` is raised. `worked`: see
    `VirtualLoop`.
    Raises `Deadlock`, `Livelock`, `ForbiddenDescriptor` where real time would hang or touch the world.
    """
    loop = VirtualLoop(seed, epoch=epoch, costs=costs, worked=worked)
    loop.limit(limit)
    try:
        return loop.run_until_complete(main(loop.clock) if callable(main) else main)
    finally:
        loop.limit(None)
        try:
            loop.cancel_pending()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


def clock() -> VirtualClock:
    """The clock of the running virtual loop; `RuntimeError` elsewhere."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError("not inside a virtual loop")
    return loop.clock
