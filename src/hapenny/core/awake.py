"""An event loop whose time stands still while its process does not run, and a clock that follows it.

A process that was stopped (SIGSTOP, a debugger, a machine that slept) finds on waking that every timer is over, and
would give up answers that have long arrived and are paid for. On this loop they are read first: what a wait took
beyond its own time, and what the loop's own work took beyond `GRACE_S`, does not count. Limits that others hold (a
lease, a token) do not stop with it: they are for `uptime`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

from hapenny.core.clock import RealClock, uptime

GRACE_S = 1.0
"""A wait that is longer by no more than this was a busy machine."""
_PIECE_S = 0.25
"""Waits are cut into pieces: of one within which the process was stopped, all but a piece is known not to have run."""


class _Watched(selectors.BaseSelector):
    """A selector that adds up the seconds in which nothing ran."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self._left = uptime()
        self.stopped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Waits, no longer than a piece: the loop asks again. See `BaseSelector`."""
        began = uptime()
        self._count(began - self._left)
        wait = _PIECE_S if timeout is None else min(max(0.0, timeout), _PIECE_S)
        events = self._inner.select(wait)
        self._left = uptime()
        self._count(self._left - began - wait)
        return events

    def _count(self, seconds: float) -> None:
        if seconds > GRACE_S:
            self.stopped += seconds

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watches a file."""
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Watches a file no more."""
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watches a file for something else."""
        return self._inner.modify(fileobj, events, data)

    def close(self) -> None:
        """Lets go of all files."""
        self._inner.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """The files that are watched."""
        return self._inner.get_map()


class AwakeLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._watched = _Watched()
        super().__init__(self._watched)

    @property
    def stopped(self) -> float:
        """Seconds so far in which the process did not run."""
        return self._watched.stopped

    def time(self) -> float:
        """Seconds in which the process ran."""
        return uptime() - self._watched.stopped


class AwakeClock(RealClock):
    """The machine's clock, whose `now` is the loop's time."""

    def __init__(self, loop: AwakeLoop) -> None:
        super().__init__()
        self.now = loop.time
