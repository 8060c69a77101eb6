"""A worker of spread batches: leases one shard after the other and sends its records, each once.

Right before a record is sent its claim is put into the store, under a lease that is known to hold: by the store's word
within the lease's time, counted by a clock that does not stop with the process. The connection pool looks once more
before it writes (`hapenny.core.permit`), and then it is noted that the record is sent (`spool`). A worker that wakes
from a long stop so sends nothing more of that shard, but takes in the answers to what it had under way, which nobody
else has asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeAlias

from hapenny.batch.local import Local
from hapenny.batch.records import Record, Result
from hapenny.batch.shards import ALIVE_S, LATER_S, Shard, Shards, record_key
from hapenny.core.clock import Clock, uptime
from hapenny.core.log import get_logger
from hapenny.core.permit import PERMIT

POLL_S = 0.5
AGAIN_S = 1.0
SURE = 0.9
"""The share of a lease's time in which it is taken to hold: clocks of two machines run a little differently."""

_log = get_logger("hapenny.batches")
Chooses: TypeAlias = Callable[[str], Local]
"""The local engine for records of a dialect."""


class Worker:
    """See the module.

    Args:
        shards: where they are.
        local: the engine that sends records of a dialect.
        forms: the dialects that it can.
        clock: the machine's.
        elapsed: seconds that do not stop with the process.
    """

    def __init__(
        self, shards: Shards, local: Chooses, forms: Sequence[str], clock: Clock, elapsed: Callable[[], float] = uptime
    ) -> None:
        self.shards = shards
        self.clock = clock
        self.elapsed = elapsed
        self._local = local
        self._forms = forms
        self._leaving = asyncio.Event()
        self.answered = 0
        self.owed: list[Record] = []
        """Claims of ours that are to be let go of."""

    @property
    def leaving(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._leaving.is_set()

    def leave(self) -> None:
        """Begins nothing more; `run` returns when what is under way has its answers."""
        self._leaving.set()

    async def run(self, *, until_idle_s: float | None = None) -> None:
        """Works until it is told to leave, or is cancelled, or has found nothing to do for `until_idle_s`."""
        living = asyncio.get_running_loop().create_task(self._live())
        try:
            await self._work(until_idle_s)
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)

    async def _live(self) -> None:
        """Gives signs of life, as long as anything may be under way."""
        while True:
            await self.clock.sleep(ALIVE_S / 6)
            with contextlib.suppress(ConnectionError):  # there are more before it is taken to be gone
                await self.shards.live()

    async def _work(self, until_idle_s: float | None) -> None:
        idle_since = self.clock.now()
        while not self.leaving:
            try:
                await self.release()
                began = self.elapsed()
                shard = await self.shards.lease(self._forms)
                if shard is not None:
                    await self._answer(shard, began)
                    idle_since = self.clock.now()
                    continue
            except ConnectionError as error:
                _log.warning("the store of batch shards is lost", error=error)
                await self.clock.sleep(AGAIN_S)
            if until_idle_s is not None and self.clock.now() - idle_since >= until_idle_s:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), POLL_S)

    async def release(self) -> None:
        """Lets go of claims that nothing is under way for. Raises `ConnectionError`: some are left."""
        while self.owed:
            await self.shards.release(self.owed[-1])
            self.owed.pop()

    async def _answer(self, shard: Shard, began: float) -> None:
        """Answers what of a shard has no answer yet; ends early where somebody else has taken it over."""
        held = _Held(self.shards, shard, began, self.elapsed)
        holding = asyncio.get_running_loop().create_task(self._hold(held))
        try:
            done = await self.shards.answered(shard)
            work = _Work(self, held, {record.id: record for record in shard.records if record.id not in done})
            try:
                await self._local(shard.form).run(list(work.records.values()), work.keep, float("inf"), work)
            finally:
                await work.settle()
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
        if held.lost:
            return
        if not work.left:
            await self.shards.finish(shard)
        elif self.leaving:
            await self.shards.leave(shard)
        else:
            await self.shards.leave(shard, LATER_S)

    async def _hold(self, held: _Held) -> None:
        """Renews a lease as long as it is ours."""
        while not held.lost:
            await self.clock.sleep(self.shards.lease_s / 4)
            with contextlib.suppress(ConnectionError):
                await held.renew()


class _Held:
    """A lease while it is held."""

    def __init__(self, shards: Shards, shard: Shard, began: float, elapsed: Callable[[], float]) -> None:
        self._shards = shards
        self._shard = shard
        self._since = began
        self._elapsed = elapsed
        self._turn = asyncio.Lock()
        self.lost = False

    def holds(self) -> bool:
        """Whether it certainly holds now, by what the store said last."""
        return not self.lost and self._elapsed() - self._since < self._shards.lease_s * SURE

    async def sure(self) -> bool:
        """Whether it holds; the store is asked where that is not certain."""
        if not self.lost and not self.holds():
            await self.renew()
        return self.holds()

    async def renew(self) -> None:
        """Raises `ConnectionError`: it is taken to be lost then once its time is over."""
        async with self._turn:
            if self.lost:
                return
            began = self._elapsed()
            try:
                if await self._shards.renew(self._shard):
                    self._since = began
                else:
                    self.lost = True
            except ConnectionError:
                self.lost = not self.holds()  # nobody can tell us that it is still ours
                raise


class _Work:
    """The records of a shard, on their way: what `Local` asks before it sends one, and tells of each answer."""

    def __init__(self, worker: Worker, held: _Held, records: dict[str, Record]) -> None:
        self._worker = worker
        self._held = held
        self.records = records
        self.left = dict(records)
        """Those without an answer so far."""
        self._claimed: set[str] = set()
        """Those that are ours: under way, or about to be."""
        self._writing: set[asyncio.Task[None]] = set()

    async def take(self, record: Record) -> bool:
        """Whether a record may be sent now."""
        worker = self._worker
        while True:
            if worker.leaving:
                return False
            try:
                if not await self._held.sure():
                    return False
                self._claimed.add(record.id)
                claimed = await worker.shards.claim(record)
                break
            except ConnectionError as error:
                _log.warning("a record waits for the store of batch shards", error=error)
                await worker.clock.sleep(AGAIN_S)
        if claimed == "answered":
            self.left.pop(record.id, None)
        if claimed != "mine":
            self._claimed.discard(record.id)
            return False
        key = record_key(record)

        def permit() -> bool:
            if not self._held.holds():
                return False
            worker.shards.spool.sent(key)
            return True

        PERMIT.set(permit)
        return True

    def back(self, record: Record) -> None:
        """Its call is over, and nothing was paid."""
        self._worker.shards.spool.done(record_key(record))

    def keep(self, result: Result) -> bool:
        """Takes an answer; False: nothing further is to be begun."""
        record = self.records[result.id]
        if result.output is not None:
            self._worker.shards.spool.add(record_key(record), result)
        self._begin(self._keep(record, result))
        return not self._held.lost

    async def settle(self) -> None:
        """Waits for what is being written, and lets go of what was claimed and has no answer: it is not under way, or
        was cut off, and is in doubt then."""
        while self._writing:
            await asyncio.wait(set(self._writing))
        for id in list(self._claimed):
            self._worker.owed.append(self.records[id])
        with contextlib.suppress(ConnectionError):  # it is tried again before the next shard
            await self._worker.release()

    async def _keep(self, record: Record, result: Result) -> None:
        """Puts an answer into the store, however long that is away: it is paid."""
        worker = self._worker
        while True:
            try:
                if await worker.shards.keep(record, result):
                    worker.answered += 1
                break
            except ConnectionError as error:
                _log.warning("an answer waits for the store of batch shards", error=error)
                await worker.clock.sleep(AGAIN_S)
        worker.shards.spool.done(record_key(record))
        self.left.pop(record.id, None)
        self._claimed.discard(record.id)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
