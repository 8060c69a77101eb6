"""Requests that come at their own times, whatever becomes of those before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from hapenny.core.clock import Clock

T = TypeVar("T")


async def in_time(clock: Clock, arrivals: Iterable[tuple[float, T]], first: float = 0.0) -> AsyncIterator[T]:
    """Each request when its time has come.

    Args:
        clock: real or virtual.
        arrivals: in order: seconds, and the request.
        first: the time among theirs that is now.
    """
    start = clock.now()
    for at, one in arrivals:
        wait = start + at - first - clock.now()
        if wait > 0:
            await clock.sleep(wait)
        yield one


async def serve_all(
    clock: Clock, arrivals: Iterable[tuple[float, T]], serve: Callable[[T], Coroutine[Any, Any, None]]
) -> None:
    """Serves each request in a task of its own when its time has come, and returns when the last is done.

    Args:
        clock: real or virtual.
        arrivals: in order: seconds from now, and what `serve` is given then.
        serve: one request to its end; what it raises is not handed on.
    """
    running = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    async for one in in_time(clock, arrivals):
        task = running.create_task(serve(one))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(list(tasks))
