"""Records that are sent one by one, spread over workers on many machines: the side of the journal.

`SpreadLocal` stands where the local engine stands: it puts records into shards, and hands each answer to the journal as
it comes. On the other side is `worker`. The journal stays the truth; what lies in the store are wishes and answers on
their way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from hapenny.batch.local import Before, Keep, Local
from hapenny.batch.records import Record
from hapenny.batch.shards import Shards, record_key
from hapenny.core.clock import Clock
from hapenny.core.log import get_logger

SHARD = 50
"""Records of a shard."""
POLL_S = 0.5
AGAIN_S = 1.0

_log = get_logger("hapenny.batches")


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

    async def run(self, records: Sequence[Record], keep: Keep, until: float, before: Before | None = None) -> None:
        """Has all records answered by workers; `keep` gets each result as it comes. Workers note themselves what they
        send: `before` is not asked. Nothing is waited for after `until` (wall). A store that is lost is waited for;
        nothing is lost with it but what was not answered yet."""
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
        for id in out:  # whoever died may not have come to it
            await self._shards.announce(id, self._form)
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
