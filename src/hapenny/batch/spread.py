"""Records that are sent one by one, spread over workers on many machines.

`SpreadLocal` stands where the local engine stands, on the side of the journal: it puts records into shards, and hands
each answer to the journal as it comes. `Worker` stands on the other side: it leases one shard after the other and sends
its records with a local engine of its own. The journal stays the truth; what lies in the store are wishes and answers
on their way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

from hapenny.batch import shards as leases
from hapenny.batch.local import Keep, Local
from hapenny.batch.records import Record, Result
from hapenny.batch.shards import Shard, Shards, record_key
from hapenny.core.clock import Clock
from hapenny.core.log import get_logger

SHARD = 50
"""Records of a shard."""
POLL_S = 0.5
AGAIN_S = 1.0

_log = get_logger("hapenny.batches")
Chooses: TypeAlias = Callable[[str], Local]
"""The local engine for records of a dialect."""


class SpreadLocal(Local):
    """The local engine of a journal whose records workers send.

    Args:
        shards: where they are leased.
        form: the dialect of the records.
        clock: the deployment's.
        per_s: records a second of all workers, for planning; it learns better.
        shard: records of a shard.
    """

    def __init__(self, shards: Shards, form: str, clock: Clock, *, per_s: float = 4.0, shard: int = SHARD) -> None:
        super().__init__(_nobody, clock, per_s=per_s)
        self._shards = shards
        self._form = form
        self._shard = shard

    async def run(self, records: Sequence[Record], keep: Keep, until: float) -> None:
        """Has all records answered by workers; `keep` gets each result as it comes. Nothing is waited for after `until`
        (wall). A store that is lost is waited for; nothing is lost with it but what was not answered yet."""
        clock = self._clock
        began, total = clock.now(), len(records)
        left: list[Record] = list(records)
        out: dict[str, list[Record]] = {}  # shards that workers have, or that wait for one
        kept, known = True, False
        while (left or out) and kept and clock.wall() < until:
            try:
                if not known:
                    left = await self._found(left, out)
                    known = True
                for id, shard in list(out.items()):
                    if not await self._shards.open(id):
                        left += shard  # what of them was answered is taken in below
                        del out[id]
                if left:
                    # Also finds what was answered to a journal that died since.
                    kept, left = await self._collect(left, keep)
                    while left and kept:
                        shard, left = left[: self._shard], left[self._shard :]
                        out[await self._shards.put(shard, self._form)] = shard
            except ConnectionError as error:
                _log.warning("the store of batch shards is lost", error=error, waiting=len(left))
                await clock.sleep(AGAIN_S)
                continue
            if out and kept:
                await clock.sleep(POLL_S)
        missing = len(left) + sum(map(len, out.values()))
        with contextlib.suppress(ConnectionError):
            for id, shard in out.items():
                await self._shards.retract(id)
                if kept:
                    kept, rest = await self._collect(shard, keep)
                    missing -= len(shard) - len(rest)
        elapsed = clock.now() - began
        if total - missing >= 10 and elapsed > 0:
            self.per_s += 0.5 * ((total - missing) / elapsed - self.per_s)

    async def _found(self, records: list[Record], out: dict[str, list[Record]]) -> list[Record]:
        """Goes on with shards that a journal which died has put there: nothing of them is put there twice. Returns the
        records that are in none."""
        shards = await self._shards.outstanding(self._form)
        places = {key: id for id, keys in shards.items() for key in keys}
        rest: list[Record] = []
        for record in records:
            id = places.get(record_key(record))
            if id is None:
                rest.append(record)
            else:
                out.setdefault(id, []).append(record)
        return rest

    async def _collect(self, records: Sequence[Record], keep: Keep) -> tuple[bool, list[Record]]:
        """Takes the answers that are there: whether the journal took them, and the records without one."""
        rest: list[Record] = []
        for place, record in enumerate(records):
            result = await self._shards.answer(record)
            if result is None:
                rest.append(record)
                continue
            if not keep(result):
                return False, [*rest, *records[place:]]
            await self._shards.forget(record)
        return True, rest


async def _nobody(record: Record) -> dict[str, object]:
    raise RuntimeError("workers send these")


class Worker:
    """Leases shards and answers them.

    Args:
        shards: where they are.
        local: the engine that sends records of a dialect.
        forms: the dialects that it can.
        clock: the machine's.
    """

    def __init__(self, shards: Shards, local: Chooses, forms: Sequence[str], clock: Clock) -> None:
        self._shards = shards
        self._local = local
        self._forms = forms
        self._clock = clock
        self._holder = clock.new_id("worker_")
        self.answered = 0

    async def run(self, *, until_idle_s: float | None = None) -> None:
        """Works until it is cancelled, or has found nothing to do for `until_idle_s`."""
        idle_since = self._clock.now()
        while True:
            try:
                shard = await self._shards.lease(self._holder, self._forms)
                if shard is not None:
                    await self._answer(shard)
                    idle_since = self._clock.now()
                    continue
            except ConnectionError as error:
                _log.warning("the store of batch shards is lost", error=error)
                await self._clock.sleep(AGAIN_S)
            if until_idle_s is not None and self._clock.now() - idle_since >= until_idle_s:
                return
            await self._clock.sleep(POLL_S)

    async def _answer(self, shard: Shard) -> None:
        """Answers what of a shard has no answer yet; ends early where somebody else took it over."""
        done = await self._shards.answered(shard)
        records = {record.id: record for record in shard.records if record.id not in done}
        lost = asyncio.Event()
        writing: set[asyncio.Task[None]] = set()

        def keep(result: Result) -> bool:
            task = asyncio.get_running_loop().create_task(self._keep(records[result.id], result))
            writing.add(task)
            task.add_done_callback(writing.discard)
            return not lost.is_set()  # what was begun is waited for, nothing further is begun

        holding = asyncio.get_running_loop().create_task(self._hold(shard, lost))
        try:
            local = self._local(shard.form)
            await local.run(list(records.values()), keep, float("inf"))
        finally:
            while writing:
                await asyncio.wait(set(writing))
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
        if not lost.is_set():
            await self._shards.retract(shard.id)

    async def _keep(self, record: Record, result: Result) -> None:
        """Puts an answer into the store, however long that is away: it is paid."""
        while True:
            try:
                if await self._shards.keep(record, result):
                    self.answered += 1
                return
            except ConnectionError as error:
                _log.warning("an answer waits for the store of batch shards", error=error)
                await self._clock.sleep(AGAIN_S)

    async def _hold(self, shard: Shard, lost: asyncio.Event) -> None:
        """Renews the lease; sets `lost` where somebody else has it."""
        since = self._clock.now()
        while True:
            await self._clock.sleep(leases.LEASE_S / 4)
            try:
                renewed = await self._shards.renew(shard, self._holder)
            except ConnectionError:
                if self._clock.now() - since < leases.LEASE_S * 0.8:
                    continue
                renewed = None  # nobody can tell us that it is still ours
            if renewed is None:
                lost.set()
                return
            shard, since = renewed, self._clock.now()
