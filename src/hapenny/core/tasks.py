"""Background tasks of one owner: begun on the running loop, ended with the owner, and none dies unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from hapenny.core.clock import Clock
from hapenny.core.guard import Guard
from hapenny.core.log import get_logger

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]
"""Runs work in the background; returns at once."""

_log = get_logger("hapenny.tasks")


class Tasks:
    """What goes on beside requests. `services` run until they are cancelled, everything else ends by itself."""

    def __init__(self) -> None:
        self._work: set[asyncio.Task[None]] = set()
        self._services: set[asyncio.Task[None]] = set()
        self.guards: list[Guard] = []
        """Of the services, and of what else goes on for this owner."""

    @property
    def running(self) -> int:
        """Pieces of work under way, services not counted."""
        return len(self._work)

    def spawn(self, coro: Coroutine[Any, Any, None]) -> None:
        """Begins a piece of work that ends by itself."""
        self._begin(coro, self._work)

    def serve(self, name: str, clock: Clock, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begins a service, which is begun again when it fails."""
        self._begin(self.guard(name, clock).keep(run), self._services)

    def guard(self, name: str, clock: Clock) -> Guard:
        """A guard of what somebody else begins."""
        guard = Guard(name, clock)
        self.guards.append(guard)
        return guard

    async def settled(self) -> None:
        """Waits until no work is under way, also not what the work under way began."""
        while self._work:
            await asyncio.wait(set(self._work))
            await asyncio.sleep(0)  # a wait for tasks that are all done need not yield

    async def aclose(self) -> None:
        """Cancels everything and waits for it."""
        tasks = [*self._work, *self._services]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, coro: Coroutine[Any, Any, None], owned: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(coro)
        owned.add(task)
        task.add_done_callback(owned.discard)
        task.add_done_callback(_seen)


def _seen(task: asyncio.Task[None]) -> None:
    """Logs a task that failed; its error's text may hold a client's."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("background work failed", task=task.get_coro().__qualname__, error=type(error).__name__)  # type: ignore[union-attr]
