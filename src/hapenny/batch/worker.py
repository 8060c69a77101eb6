"""A worker of spread batches: leases one shard after the other and sends its records, each once.

Right before a record is sent its claim is put into the store, under a lease that is known to hold: by the store's word
within the lease's time, counted by a clock that does not stop with the process. The connection pool looks once more
before it writes (`hapenny.core.permit`). A worker that wakes from a long stop so sends nothing more of that shard, but
takes in the answers to what it had under way, which nobody else has asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeAlias

from hapenny.batch.local import Local
from hapenny.batch.records import Record, Result
from hapenny.batch.shards import CLAIM_S, LATER_S, Shard, Shards, record_key
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

    @property
    def leaving(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._leaving.is_set()

    def leave(self) -> None:
        """Begins nothing more; `run` returns when what is under way has its answers."""
        self._leaving.set()

    async def run(self, *, until_idle_s: float | None = None) -> None:
        """Works until it is told to leave, or is cancelled, or has found nothing to do for `until_idle_s`."""
        idle_since = self.clock.now()
        while not self.leaving:
            try:
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
        self.on_renewed: list[Callable[[], None]] = []

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
        for tell in self.on_renewed:
            tell()


class _Work:
    """The records of a shard, on their way: what `Local` asks before it sends one, and tells of each answer."""

    def __init__(self, worker: Worker, held: _Held, records: dict[str, Record]) -> None:
        self._worker = worker
        self._held = held
        self.records = records
        self.left = dict(records)
        """Those without an answer so far."""
        self._claimed: dict[str, float] = {}
        """Those under way, and when they were claimed."""
        self._writing: set[asyncio.Task[None]] = set()
        held.on_renewed.append(self._renew_claims)

    async def take(self, record: Record) -> bool:
        """Whether a record may be sent now."""
        worker = self._worker
        while True:
            if worker.leaving:
                return False
            try:
                if not await self._held.sure():
                    return False
                self._claimed[record.id] = worker.elapsed()
                claimed = await worker.shards.claim(record)
                break
            except ConnectionError as error:
                _log.warning("a record waits for the store of batch shards", error=error)
                await worker.clock.sleep(AGAIN_S)
        if claimed == "answered":
            self.left.pop(record.id, None)
        if claimed != "mine":
            self._claimed.pop(record.id, None)
            return False
        PERMIT.set(self._held.holds)
        return True

    def keep(self, result: Result) -> bool:
        """Takes an answer; False: nothing further is to be begun."""
        record = self.records[result.id]
        if result.output is not None:
            self._worker.shards.spool.add(record_key(record), result)
        self._begin(self._keep(record, result))
        return not self._held.lost

    async def settle(self) -> None:
        """Waits for what is being written, and lets go of what was claimed and has no answer: it is not under way."""
        while self._writing:
            await asyncio.wait(set(self._writing))
        for id in list(self._claimed):
            with contextlib.suppress(ConnectionError):  # its time ends by itself
                await self._worker.shards.release(self.records[id])

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
        self._claimed.pop(record.id, None)

    def _renew_claims(self) -> None:
        """Claims of long calls are renewed well before their time ends."""
        worker = self._worker
        for id, since in self._claimed.items():
            if worker.elapsed() - since > CLAIM_S / 2:
                self._begin(self._renew(id))

    async def _renew(self, id: str) -> None:
        began = self._worker.elapsed()
        with contextlib.suppress(ConnectionError):
            if await self._worker.shards.claim(self.records[id]) == "mine" and id in self._claimed:
                self._claimed[id] = began

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
