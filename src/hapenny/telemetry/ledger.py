"""The ledger: append-only rows in SQLite (WAL), written in batches off the hot path.

`write` puts a row into a bounded queue; one task hands batches to one thread at a time (`Clock.work`; inline under
the virtual clock). A killed process loses at most the last `flush_s` seconds and never corrupts the file: each batch
is one transaction; a power cut loses at most `sync_s` seconds more. When the queue is full because the disk does not
keep up, further rows are added up into `overflow` entries: their money stays in every sum, only their detail is lost,
and that is counted and logged. What still waits when the gateway ends, because the file is locked or its disk full, is
put aside in a file (`spill`), which the next start reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

from msgspec import Meta, Struct

from hapenny.core.clock import Clock, within
from hapenny.core.guard import Guard
from hapenny.core.log import get_logger
from hapenny.telemetry import spill
from hapenny.telemetry.ledger_file import LedgerFile
from hapenny.telemetry.rollup import Folded
from hapenny.telemetry.rows import Entry, Row, quality

if TYPE_CHECKING:
    from hapenny.telemetry.ledger_postgres import PostgresLedger

T = TypeVar("T")

BATCH = 1024
"""Rows a transaction at most. Each costs a change of threads and some fights for the interpreter's lock, so that many
small ones do not keep up with a busy process; large ones let the others run every few milliseconds all the same."""
MAX_BACKOFF = 2.0
CLOSE_S = 8.0
"""Seconds that the last rows get to be written; a file that is locked is waited for up to 5."""
_ROWS_OWN_FAULT = (
    OverflowError,
    ValueError,
    TypeError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
)
"""Errors that another try of the same row cannot mend."""
DAY = 86_400.0


class LedgerOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where the books are kept."""

    path: Annotated[
        str,
        Meta(
            description="The SQLite file; its folder is made. `postgresql://…` keeps the books of all gateways in one "
            "database (extra `postgres`). `:memory:` keeps nothing.",
        ),
    ] = ".hapenny/ledger.db"
    flush_s: Annotated[
        float,
        Meta(description="Seconds after which a row is on disk at the latest, when the disk keeps up."),
    ] = 0.5
    sync_s: Annotated[
        float,
        Meta(description="Seconds after which a row on disk outlives a power cut, too. 0: at once, with every batch."),
    ] = 1.0
    queue: Annotated[int, Meta(description="Rows waiting at most.")] = 20_000
    retention_days: Annotated[
        float,
        Meta(
            description="Older request rows are deleted; their sums stay, as `adjustment` entries. 0: nothing is "
            "deleted.",
        ),
    ] = 400.0

    def __post_init__(self) -> None:
        if not 0 < self.flush_s <= 1:
            raise ValueError(f"flush_s: {self.flush_s} would lose more than a second in a crash; give 0 < seconds <= 1")
        if not 0 <= self.sync_s <= 3600:
            raise ValueError(f"sync_s: {self.sync_s} is not within 0 and 3600 seconds")
        if self.queue < 1:
            raise ValueError(f"queue: {self.queue} holds nothing; give at least 1")


def _opened(path: str, clock: Clock) -> LedgerFile | PostgresLedger:
    if "://" not in path:
        return LedgerFile(path)
    from hapenny.telemetry.ledger_postgres import PostgresLedger

    return PostgresLedger(path, clock)


class Ledger:
    """Takes rows, writes them, finds them.

    Args:
        options: where and how.
        clock: the deployment's clock.
    """

    def __init__(self, options: LedgerOptions, clock: Clock) -> None:
        self.path = path = options.path
        self._clock = clock
        self._flush_s = options.flush_s
        self._queue = options.queue
        self._retention = options.retention_days
        self._sync_s = options.sync_s
        self.file: LedgerFile | PostgresLedger = _opened(path, clock)
        self._pending: OrderedDict[int, Row | Entry] = OrderedDict()
        self._ids: dict[str, Row] = {}
        self._next = 0
        self._folded = Folded()
        self._wake: asyncio.Event | None = None
        self._many = asyncio.Event()
        """Set where so many rows wait that there is nothing to gain by waiting for more."""
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._stuck = False
        """Whether a thread still has the file, whose disk does not answer."""
        self._syncing: asyncio.Task[None] | None = None
        self._unsynced: float | None = None
        """Since when there are rows on disk that a power cut would take."""
        self._log = get_logger("hapenny.ledger")
        self._pruned = clock.wall()
        self.taken = 0
        self.written = 0
        self.overflowed = 0
        """Rows that were folded into overflow entries."""
        self.failed_writes = 0
        self.refused = 0
        """Rows that SQLite cannot hold, whatever is tried: left out, so that the others are written."""
        self.guard = Guard("ledger writer", clock)
        self._apart = 0
        """Rows still to be written one by one, to find the one that cannot be."""

    # -- taking --------------------------------------------------------------------------------------------------

    def write(self, row: Row) -> None:
        """Takes a row. Never blocks, never raises."""
        self.taken += 1
        if len(self._pending) >= self._queue:
            self.overflowed += 1
            self._folded.add(row)
            if self.overflowed == 1 or self.overflowed % 1_000 == 0:
                self._log.warning("ledger queue full: rows are folded", folded=self.overflowed)
        else:
            self._pending[self._next] = row
            self._next += 1
            self._ids[row.id] = row
            if len(self._pending) >= BATCH:
                self._many.set()
        self._signal()

    def book(self, entry: Entry) -> None:
        """Takes a capacity or adjustment entry. Never blocks, never raises."""
        if len(self._pending) >= 2 * self._queue:
            self.overflowed += 1
            self._folded.add_entry(entry)
            return
        self._pending[self._next] = entry
        self._next += 1
        self._signal()

    @property
    def waiting(self) -> int:
        """Rows not yet written."""
        return len(self._pending)

    async def get(self, request_id: str) -> Row | None:
        """The row of a request, written or not; the newest where an id came twice."""
        row = self._ids.get(request_id) or await self._look(lambda: self.file.find(request_id))
        if row is None:
            return None
        waiting = {
            str(item.detail["source"]): float(item.detail["score"])
            for item in self._pending.values()
            if isinstance(item, Entry) and item.kind == "feedback" and item.request == request_id
        }
        if waiting:
            verdicts = await self._look(lambda: self.file.verdicts(request_id))
            row.scores["quality"] = quality(verdicts | waiting)
        return row

    async def _look(self, look: Callable[[], T]) -> T:
        return await self._clock.work("ledger reader", 1.0, look) if self.file.remote else look()

    # -- writing -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Takes in what an earlier process put aside, and starts the writing task on the running loop."""
        if self._task is None:
            await self._take_in()
            self._wake = asyncio.Event()
            if self._pending or self._folded.rows:
                self._wake.set()
            self._task = asyncio.get_running_loop().create_task(self.guard.keep(self._run))

    async def aclose(self) -> None:
        """Writes what waits, or puts it aside for the next start, and closes the file. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if not self._stuck:
            with contextlib.suppress(TimeoutError), within(CLOSE_S):
                await self.flush()
                if self._syncing is not None:
                    await self._syncing
                await self._sync()
        if self._pending or self._folded.rows:
            self._put_aside()
        if not self._stuck:
            self.file.close()

    async def flush(self) -> None:
        """Writes all that waits. A failed write is logged and counted; its rows stay in the queue."""
        await self._flush(None)

    async def _flush(self, before: int | None) -> None:
        """Writes what waits, of rows those that were taken before number `before`: others may keep coming."""
        async with self._writing:
            while self._folded.rows or (self._pending and (before is None or next(iter(self._pending)) < before)):
                if not await self._write():
                    return

    def _signal(self) -> None:
        if self._wake is not None and not self._wake.is_set():
            self._wake.set()

    async def _run(self) -> None:
        assert self._wake is not None
        pause = self._flush_s
        while True:
            if not await self._woken():
                self._begin_sync()
                continue
            with contextlib.suppress(TimeoutError), within(pause):
                await self._many.wait()
            self._wake.clear()
            self._many.clear()
            failed, began = self.failed_writes, self._clock.now()
            await self._flush(self._next)
            if self.failed_writes > failed:
                pause = min(MAX_BACKOFF, max(pause, self._flush_s) * 2)
                self._wake.set()
            else:
                if self._unsynced is not None and self._clock.now() - self._unsynced >= self._sync_s:
                    self._begin_sync()
                await self._retain()
                # What came meanwhile has waited since; under steady traffic there is one batch each `flush_s`.
                waited = self._clock.now() - began if self._wake.is_set() else 0.0
                pause = max(0.0, self._flush_s - waited)

    async def _write(self) -> bool:
        folded, self._folded = self._folded, Folded()
        batch: list[tuple[int, Row | Entry]] = []
        for item in self._pending.items():
            batch.append(item)
            if len(batch) >= (1 if self._apart else BATCH):
                break
        self._apart = max(0, self._apart - 1)
        extra = folded.entries(self._clock.wall()) if folded.rows else []
        items = [item for _, item in batch]
        write = self._clock.work("ledger", float(len(batch)), lambda: self.file.insert(items, extra))
        work = asyncio.get_running_loop().create_task(write)
        try:
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:  # the thread cannot be stopped: learn how it ended, then leave
                await asyncio.wait([work], timeout=CLOSE_S)
                self._stuck = not work.done()
                if not self._stuck and work.exception() is None:
                    self._done(batch)
                elif folded.rows:
                    self._folded.merge(folded)
                raise
        except _ROWS_OWN_FAULT as error:
            self.failed_writes += 1
            self._folded.merge(folded)
            if len(batch) > 1:
                self._apart = len(batch)
            else:
                self._refuse(batch, error)
            return True
        except sqlite3.Error as error:
            self.failed_writes += 1
            self._folded.merge(folded)
            self._log.error("ledger write failed", error=str(error), waiting=len(self._pending))
            return False
        except Exception as error:  # whatever it is, the rows are here and the sums must be: soon again
            self.failed_writes += 1
            self._folded.merge(folded)
            self.guard.note(error)
            return False
        self._done(batch)
        return True

    def _refuse(self, batch: list[tuple[int, Row | Entry]], error: Exception) -> None:
        """Lets go of a row that cannot be written; where there is none, the sums of folded rows were at fault."""
        if not batch:
            self._folded = Folded()
        for seq, item in batch:
            self._pending.pop(seq, None)
            if isinstance(item, Row) and self._ids.get(item.id) is item:
                del self._ids[item.id]
        self.refused += 1
        name = batch[0][1].id if batch and isinstance(batch[0][1], Row) else ""
        self._log.error("a row cannot be written and is left out", request=name, error=type(error).__name__)

    async def _woken(self) -> bool:
        """Waits for rows; False if it is time to sync those that are there before any come."""
        assert self._wake is not None
        if self._unsynced is None:
            return await self._wake.wait()
        try:
            with within(self._unsynced + self._sync_s - self._clock.now()):
                return await self._wake.wait()
        except TimeoutError:
            return False

    def _begin_sync(self) -> None:
        """Syncs beside the writing: a disk that takes its time does not keep rows from being written."""
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.get_running_loop().create_task(self._sync())

    async def _sync(self) -> None:
        """Makes what is on disk outlive a power cut."""
        if self._unsynced is None:
            return
        self._unsynced = None
        try:
            await self._clock.work("sync", 1.0, self.file.sync)
        except OSError as error:
            self.failed_writes += 1
            self._log.error("the ledger cannot be synced", error=error.strerror)

    async def _take_in(self) -> None:
        """Writes what an earlier process put aside; what cannot be written now stays for the next start."""
        if self.path == ":memory:":
            return
        for path in spill.left(self.file.spill):
            try:
                items, damaged = spill.load(path)
                rows = await self._clock.work(
                    "ledger",
                    float(len(items)),
                    lambda kept=items: self.file.insert(kept, again=True),  # type: ignore[misc]
                )
                path.unlink()
            except (OSError, *_ROWS_OWN_FAULT, sqlite3.Error) as error:
                self._log.error("rows that were put aside cannot be taken in", path=str(path), error=str(error))
                continue
            self._log.info("rows that were put aside are in the books", rows=rows, failures=damaged, path=str(path))

    def _put_aside(self) -> None:
        items: list[Row | Entry] = list(self._pending.values())
        rows = len(items) + self._folded.rows
        items += self._folded.entries(self._clock.wall()) if self._folded.rows else []
        path = spill.save(self.file.spill, items, self._clock.new_id()) if self.path != ":memory:" else None
        if path is None:
            self._log.error("rows are lost: neither the ledger nor another disk takes them", rows=rows)
        else:
            self._log.error(
                "the ledger takes no rows: they are put aside for the next start", rows=rows, path=str(path)
            )
        self._pending.clear()
        self._folded = Folded()

    def _done(self, batch: Sequence[tuple[int, Row | Entry]]) -> None:
        if self._unsynced is None:
            self._unsynced = self._clock.now()
        pending, ids = self._pending, self._ids
        for seq, item in batch:
            if pending.pop(seq, None) is not None and isinstance(item, Row):
                self.written += 1
                if ids.get(item.id) is item:
                    del ids[item.id]

    # -- retention -----------------------------------------------------------------------------------------------

    async def _retain(self) -> None:
        now = self._clock.wall()
        if not self._retention or now - self._pruned < DAY / 24:
            return
        self._pruned = now
        await self.prune((now - self._retention * DAY) // DAY * DAY)  # whole days: as roll-ups are kept

    async def prune(self, before: float) -> int:
        """Deletes request rows older than `before` (epoch seconds), leaving their sums; returns how many."""
        async with self._writing:
            return await self._clock.work("ledger", 1.0, lambda: self.file.prune(before))
