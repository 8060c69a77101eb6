"""Shards of batch records that workers on many machines lease, over any key-value store with compare-and-set.

Whoever has the journal puts records there in shards and takes the answers out; workers lease a shard, claim each of its
records right before they send it, and put each answer there as it comes. Nothing else is agreed upon: the store may be
Redis or Valkey, PostgreSQL, a SQLite file, or S3, whose conditional writes (`If-None-Match`, `If-Match`) are a
compare-and-set. `shards_sqs` leases by a queue instead.

Theory of operation. A lease says who works on a shard. It is a value that the store forgets after `LEASE_S` by its own
clock, unless its holder renews it; so who was stopped for longer finds, before it sends anything more, that somebody
else may have it. A claim says who has a record under way. It outlives the lease: a worker that was stopped has calls
open whose answers wait for it, and to ask again would be to pay twice. Others leave a claimed record alone until its
answer is there, or its holder has let go of it, or its process has certainly ended (which is known on the same machine
alone, where also the answers that it had and the store had not are found: `spool`), or the claim is over (`CLAIM_S`,
longer than a call may last). So a record is asked twice only where whoever had
it under way died on another machine, or was away for longer than a claim lasts; what was answered never is.

A record's key is a digest of all it says, so that the same record put there again, by a journal that was restarted,
is the same: its answer is found and not paid for again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from typing import Literal, TypeAlias

import msgspec

from hapenny.batch.records import Record, Result
from hapenny.batch.spool import Spool, left_behind
from hapenny.core import processes
from hapenny.core.clock import Clock
from hapenny.stores.kv import KeyValue, scanned

LEASE_S = 30.0
CLAIM_S = 660.0
"""How long a record that was claimed is left alone: a call ends within ten minutes."""
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
        self._me = Holder(clock.new_id("worker_"), processes.identity())
        self._mine = msgspec.json.encode(self._me)
        self.spool = Spool(self._me.id)
        """Answers that are here and not in the store yet."""

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

    async def claim(self, record: Record) -> Claimed:
        """Whether a record may be sent now; it is ours then until it is answered or released. A claim of ours is
        renewed. Raises `ConnectionError`."""
        key = record_key(record)
        name = self._name("claim", key)
        known: bytes | None = None
        if not await self._store.compare_and_set(name, None, self._mine, CLAIM_S):
            known = await self._store.get(name)
            if known is not None and known != self._mine and not _ended(known):
                return "answered" if await self.answer(record) is not None else "elsewhere"
            if not await self._store.compare_and_set(name, known, self._mine, CLAIM_S):
                return "elsewhere"  # somebody was quicker
            if known is not None and known != self._mine:
                had = left_behind(msgspec.json.decode(known, type=Holder).id, key)
                if had is not None:  # it is paid for: it had come, and was not in the store yet
                    await self.keep(record, had)
        if await self.answer(record) is not None:
            return "answered"
        return "mine"

    async def release(self, record: Record) -> None:
        """Lets go of a claim of ours on a record that is not under way. Raises `ConnectionError`."""
        name = self._name("claim", record_key(record))
        await self._store.compare_and_set(name, self._mine, msgspec.json.encode(Holder("")), _AT_ONCE_S)

    async def keep(self, record: Record, result: Result) -> bool:
        """Puts an answer there; False: one was there already. Raises `ConnectionError`."""
        name = self._name("answer", record_key(record))
        return await self._store.compare_and_set(name, None, msgspec.json.encode(result), KEPT_S)

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
