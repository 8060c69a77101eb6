"""Settlements of budgets that are written behind, in order: those that wait, and the task that writes them.

Nobody waits for a settlement. A store that cannot be written keeps them waiting, and is tried again every `AGAIN_S`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from hapenny.core.clock import Clock
from hapenny.core.log import get_logger

AGAIN_S = 0.5
_log = get_logger("hapenny.budgets")

Settlement: TypeAlias = tuple[str, dict[str, int] | None]
"""The id of a reservation, and what was spent by account (`BudgetStore.settle`)."""


class Settlements:
    """See the module.

    Args:
        write: writes all of `waiting`, and takes them out; raises `ConnectionError` where it cannot.
        clock: the deployment's clock.
    """

    def __init__(self, write: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self.waiting: deque[Settlement] = deque()
        self._write = write
        self._clock = clock
        self._writer: asyncio.Task[None] | None = None

    def add(self, id: str, amounts: Mapping[str, int] | None) -> None:
        """Has one written. Never waits."""
        self.waiting.append((id, dict(amounts) if amounts is not None else None))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    async def aclose(self) -> None:
        """Writes what waits, if that can be done now."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        if self.waiting:
            try:
                await self._write()
            except ConnectionError:
                _log.error("settlements of budgets are lost", count=len(self.waiting))

    async def _write_all(self) -> None:
        while self.waiting:
            try:
                await self._write()
            except ConnectionError as error:
                _log.warning("budgets cannot be settled and are tried again", error=error, waiting=len(self.waiting))
                await self._clock.sleep(AGAIN_S)
