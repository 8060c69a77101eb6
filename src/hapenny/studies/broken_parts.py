"""Parts that fail when a plan says so: a store of quotas that cannot be reached, a ledger whose disk is full."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from hapenny.core.clock import Clock
from hapenny.stores.counters import Charge, Grant, MemoryCounters, Ticket
from hapenny.studies.fault_plan import Mishap
from hapenny.telemetry.ledger_file import LedgerFile
from hapenny.telemetry.rows import Entry, Row


class FailingCounters(MemoryCounters):
    """A store that several processes share, and that is lost for a while. `outstanding`: tickets that nobody settled.

    Args:
        clock: of the day.
        lost: when it cannot be reached, seconds of `clock.now()`.
    """

    scope = "shared"

    def __init__(self, clock: Clock, lost: Sequence[Mishap]) -> None:
        super().__init__(clock)
        self._time = clock
        self._lost = lost
        self._granted: set[str] = set()

    @property
    def outstanding(self) -> int:
        """Tickets that nobody settled."""
        return len(self._granted)

    def forget(self) -> None:
        """A process died with its tickets: they end by their age."""
        self._granted.clear()

    async def reserve(self, charges: Sequence[Charge], ttl_s: float = 600.0) -> Grant:
        self._reach()
        grant = await super().reserve(charges, ttl_s)
        if grant.ticket is not None and grant.ticket.charges:
            self._granted.add(grant.ticket.id)
        return grant

    def settle(self, ticket: Ticket, actual: Sequence[float]) -> None:
        self._granted.discard(ticket.id)
        super().settle(ticket, actual)

    async def levels(self, charges: Sequence[Charge]) -> list[float]:
        self._reach()
        return await super().levels(charges)

    async def aclose(self) -> None:
        """Stays: the next process asks it, too."""

    def _reach(self) -> None:
        now = self._time.now()
        if any(each.lasts(now) for each in self._lost):
            raise ConnectionError("the store of quotas cannot be reached")


class FailingLedgerFile(LedgerFile):
    """A ledger's file on a disk that is full for a while."""

    def __init__(self, path: str, clock: Clock, full: Sequence[Mishap]) -> None:
        super().__init__(path)
        self._time = clock
        self._full = full

    def insert(self, batch: Sequence[Row | Entry], extra: Sequence[Entry] = (), *, again: bool = False) -> int:
        """Writes as a ledger's file does. Raises `sqlite3.OperationalError` while the disk is full."""
        now = self._time.now()
        if any(each.lasts(now) for each in self._full):
            raise sqlite3.OperationalError("database or disk is full")
        return super().insert(batch, extra, again=again)
