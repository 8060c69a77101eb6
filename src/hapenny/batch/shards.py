"""Shards of batch records that workers on many machines lease, over any key-value store with compare-and-set.

Whoever has the journal puts records there in shards and takes the answers out; workers lease a shard, claim each of its
records right before they send it, and put each answer there as it comes. Nothing else is agreed upon: the store may be
Redis or Valkey, PostgreSQL, a SQLite file, or S3, whose conditional writes (`If-None-Match`, `If-Match`) are a
compare-and-set. `shards_sqs` leases by a queue instead.

Theory of operation. A lease says who works on a shard. It is a value that the store forgets after `LEASE_S` by its own
clock, unless its holder renews it; so who was stopped for longer finds, before it sends anything more, that somebody
else may have it. A claim says who has a record under way. It outlives the lease: a worker that was stopped has calls
open whose answers wait for it, and to ask again would be to pay twice. Others leave a claimed record alone until its
answer is there, or its holder has let go of it, or its holder is gone: its process has certainly ended (which is known
on the same machine alone), or it has given no sign of life for `ALIVE_S`, longer than a call may last.

Of what a holder that is gone had claimed three things may be known (`spool`, on the same machine): it had the answer,
which is taken over; it had not sent the record, which is then sent like any other; or it had sent it. What was sent and
has no answer is *in doubt*, as is all that a holder on another machine had claimed: a model call has no token under
which it could be repeated, so that nobody can know whether it was paid for. It is never sent again here. Its answer is
that it is in doubt, and whoever has the journal decides (`batch.in_doubt`), or the operator. If the holder was only
away for very long, its answer takes the place of the doubt.

A record's key is a digest of all it says, so that the same record put there again, by a journal that was restarted,
is the same: its answer is found and not paid for again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from typing import Literal, TypeAlias

import msgspec

from hapenny.batch.records import Record, Result, in_doubt
from hapenny.batch.spool import Spool, left_behind
from hapenny.core import processes
from hapenny.core.clock import Clock
from hapenny.stores.kv import KeyValue, scanned

LEASE_S = 30.0
ALIVE_S = 660.0
"""Who has given no sign of life for so long is gone: a call ends within ten minutes."""
LATER_S = 5.0
"""After so long somebody looks again at a shard whose last records are under way elsewhere."""
KEPT_S = 7 * 86_400.0
"""How long answers wait for whoever has the journal."""
_PAGE = 200
_AT_ONCE_S = 0.001

Claimed: TypeAlias = Literal["mine", "answered", "elsewhere"]


class Holder(msgspec.Struct, frozen=True):
    """Who has a lease or a claim."""

    id: str
    process: str = ""
    """Its process, for others on the same machine; see `hapenny.core.processes`."""
    signs: bool = False
    """Whether it gives signs of life, as workers of earlier versions do not: their claims end by themselves."""


class Shard(msgspec.Struct, frozen=True):
    """A leased shard."""

    id: str
    form: str
    """The dialect of its records."""
    records: tuple[Record, ...]
    lease: bytes
    """What proves that it is this holder's."""


def record_key(record: Record) -> str:
    """What names a record everywhere: 32 hex digits."""
    return hashlib.blake2b(msgspec.msgpack.encode(record, order="deterministic"), digest_size=16).hexdigest()


class Shards:
    """See the module.

    Args:
        store: where they lie.
        clock: makes ids.
        space: keeps journals apart that share a store.
        lease_s: how long the leases taken here last without being renewed.
    """

    def __init__(self, store: KeyValue, clock: Clock, space: str = "batch", lease_s: float = LEASE_S) -> None:
        self._store = store
        self._clock = clock
        self._space = space
        self.lease_s = lease_s
        self._me = Holder(clock.new_id("worker_"), processes.identity(), signs=True)
        self._mine = msgspec.json.encode(self._me)
        self.spool = Spool(self._me.id)
        """What is under way from here, and answers that are not in the store yet."""
        self._living = False

    # -- who has the journal ---------------------------------------------------------------------------------------

    async def put(self, records: Sequence[Record], form: str) -> str:
        """Puts a shard there, unless it is there already; its id. Raises `ConnectionError`."""
        keys = [record_key(record) for record in records]
        id = hashlib.blake2b("".join(keys).encode(), digest_size=12).hexdigest()
        if await self._store.get(self._name("shard", id)) is None:
            await self._store.set(self._name("input", id), msgspec.json.encode(list(records)), KEPT_S)
            await self._store.compare_and_set(self._name("shard", id), None, form.encode(), KEPT_S)
        await self.announce(id, form)
        return id

    async def announce(self, id: str, form: str) -> None:
        """Tells workers of a shard that is there, where they do not look for themselves. Raises `ConnectionError`."""

    async def answer(self, record: Record) -> Result | None:
        """What became of a record. Raises `ConnectionError`."""
        data = await self._store.get(self._name("answer", record_key(record)))
        return None if data is None else msgspec.json.decode(data, type=Result)

    async def forget(self, record: Record) -> None:
        """Its answer is in the journal. Raises `ConnectionError`."""
        key = record_key(record)
        await self._store.delete(self._name("answer", key))
        await self._store.delete(self._name("claim", key))

    async def outstanding(self, form: str) -> dict[str, set[str]]:
        """Shards of a dialect that wait for a worker or have one, with the keys of their records: what a journal that
        died has put there. Raises `ConnectionError`."""
        shards: dict[str, set[str]] = {}
        prefix = self._name("shard", "")
        async for name, data in scanned(self._store, prefix, _PAGE):
            if data == form.encode():
                id = name.removeprefix(prefix)
                records = await self._input(id)
                if records is not None:
                    shards[id] = {record_key(each) for each in records}
        return shards

    async def open(self, id: str) -> bool:
        """Whether a shard still waits for a worker, or for the one that has it. Raises `ConnectionError`."""
        return await self._store.get(self._name("shard", id)) is not None

    async def retract(self, id: str) -> None:
        """Nobody needs to work on a shard any more. Raises `ConnectionError`."""
        for kind in ("shard", "lease", "input"):
            await self._store.delete(self._name(kind, id))

    # -- workers: shards -------------------------------------------------------------------------------------------

    async def lease(self, forms: Sequence[str]) -> Shard | None:
        """A shard that nobody works on, now ours; None: there is none. Raises `ConnectionError`."""
        held = {name: data async for name, data in scanned(self._store, self._name("lease", ""), _PAGE)}
        prefix = self._name("shard", "")
        async with aclosing(scanned(self._store, prefix, _PAGE)) as shards:
            async for name, form in shards:
                id = name.removeprefix(prefix)
                lease = held.get(self._name("lease", id))
                if form.decode() not in forms or (lease is not None and not _ended(lease)):
                    continue
                # Not only whose, but which: an earlier lease of ours does not count for a later one.
                mine = msgspec.json.encode(Holder(self._clock.new_id("lease_"), self._me.process))
                if not await self._store.compare_and_set(self._name("lease", id), lease, mine, self.lease_s):
                    continue
                records = await self._input(id)
                if records is None:  # it was retracted meanwhile
                    await self.retract(id)
                    continue
                return Shard(id, form.decode(), records, mine)
        return None

    async def renew(self, shard: Shard) -> bool:
        """Whether a shard is still ours, and is from now on for as long as a lease lasts. Raises `ConnectionError`."""
        name = self._name("lease", shard.id)
        return await self._store.compare_and_set(name, shard.lease, shard.lease, self.lease_s)

    async def leave(self, shard: Shard, seconds: float = _AT_ONCE_S) -> None:
        """Lets go of a shard that is not done; it is leased again after `seconds`. Raises `ConnectionError`."""
        nobody = msgspec.json.encode(Holder(""))
        await self._store.compare_and_set(self._name("lease", shard.id), shard.lease, nobody, seconds)

    async def finish(self, shard: Shard) -> None:
        """All records of a shard have their answers. Raises `ConnectionError`."""
        await self.retract(shard.id)

    # -- workers: records ------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Gives a sign of life, which holds for `ALIVE_S`; more than one is needed where calls last. Raises
        `ConnectionError`."""
        await self._store.set(self._name("alive", self._me.id), b"", ALIVE_S)
        self._living = True

    async def claim(self, record: Record) -> Claimed:
        """Whether a record may be sent now; it is ours then until it is answered or released. Raises
        `ConnectionError`."""
        if not self._living:
            self.spool.open()
            await self.live()
        key = record_key(record)
        name = self._name("claim", key)
        known: bytes | None = None
        if not await self._store.compare_and_set(name, None, self._mine, KEPT_S):
            known = await self._store.get(name)
            if known is not None and known != self._mine:
                if await self.answer(record) is not None:
                    return "answered"
                holder = msgspec.json.decode(known, type=Holder)
                if not await self._gone(holder):
                    return "elsewhere"
                if holder.id:
                    left = left_behind(holder.id, key)
                    if not left.unsent:  # its claim stays until it is said what became of it: we may be killed as well
                        await self.keep(record, left.result or in_doubt(record.id))
                        return "answered"
            if not await self._store.compare_and_set(name, known, self._mine, KEPT_S):
                return "elsewhere"  # somebody was quicker
        if await self.answer(record) is not None:
            return "answered"
        return "mine"

    async def _gone(self, holder: Holder) -> bool:
        """Whether whoever has a claim is gone for good, as far as anybody can know."""
        if not holder.id or (holder.process and processes.gone(holder.process)):
            return True
        return holder.signs and await self._store.get(self._name("alive", holder.id)) is None

    async def release(self, record: Record) -> None:
        """Lets go of a claim of ours. A record that was sent and whose call was cut off is in doubt. Raises
        `ConnectionError`."""
        if self.spool.was_sent(record_key(record)):
            await self.keep(record, in_doubt(record.id))
            return
        name = self._name("claim", record_key(record))
        await self._store.compare_and_set(name, self._mine, msgspec.json.encode(Holder("")), _AT_ONCE_S)

    async def keep(self, record: Record, result: Result) -> bool:
        """Puts an answer there; False: one was there already, which was no mere doubt. Raises `ConnectionError`."""
        name = self._name("answer", record_key(record))
        data = msgspec.json.encode(result)
        if await self._store.compare_and_set(name, None, data, KEPT_S):
            return True
        known = await self._store.get(name)
        if known is None or result.doubt or not msgspec.json.decode(known, type=Result).doubt:
            return False
        return await self._store.compare_and_set(name, known, data, KEPT_S)

    async def answered(self, shard: Shard) -> set[str]:
        """Ids of a shard's records that have an answer. Raises `ConnectionError`."""
        return {record.id for record in shard.records if await self.answer(record) is not None}

    async def aclose(self) -> None:
        """Lets go of the store."""
        self.spool.close()
        await self._store.aclose()

    async def _input(self, id: str) -> tuple[Record, ...] | None:
        records = await self._store.get(self._name("input", id))
        return None if records is None else tuple(msgspec.json.decode(records, type=list[Record]))

    def _name(self, kind: str, id: str) -> str:
        return f"{self._space}/{kind}/{id}"


def _ended(holder: bytes) -> bool:
    """Whether whoever holds something has certainly ended."""
    process = msgspec.json.decode(holder, type=Holder).process
    return bool(process) and processes.gone(process)
