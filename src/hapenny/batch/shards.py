"""Shards of batch records that workers on many machines lease, over any key-value store with compare-and-set.

Whoever has the journal puts records there in shards and takes the answers out; workers lease a shard, answer its
records and put each answer there as it comes. Nothing else is agreed upon: the store may be Redis or Valkey,
PostgreSQL, a SQLite file, or S3, whose conditional writes (`If-None-Match`, `If-Match`) are a compare-and-set.

A record's key is a digest of all it says, so that the same record put there again, by a journal that was restarted,
is the same: its answer is found and not paid for again. A lease names its holder and an end; its holder renews it, and
one whose lease was taken over (it was stopped for too long) begins no further record. So at most what a worker had
under way when it died is asked again; what was answered never is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import aclosing

import msgspec

from hapenny.batch.records import Record, Result
from hapenny.core.clock import Clock
from hapenny.stores.kv import KeyValue, scanned

LEASE_S = 30.0
KEPT_S = 7 * 86_400.0
"""How long answers wait for whoever has the journal."""
_PAGE = 200


class Lease(msgspec.Struct, frozen=True):
    """Who has a shard until when (epoch seconds). `form`: the dialect of its records."""

    form: str
    holder: str = ""
    until: float = 0.0
    tries: int = 0


class Shard(msgspec.Struct, frozen=True):
    """A leased shard."""

    id: str
    form: str
    records: tuple[Record, ...]
    lease: bytes
    """As it stands in the store."""


def record_key(record: Record) -> str:
    """What names a record everywhere: 32 hex digits."""
    return hashlib.blake2b(msgspec.msgpack.encode(record, order="deterministic"), digest_size=16).hexdigest()


class Shards:
    """See the module.

    Args:
        store: where they lie.
        clock: the machine's; those of several machines may differ by a few seconds.
        space: keeps journals apart that share a store.
    """

    def __init__(self, store: KeyValue, clock: Clock, space: str = "batch") -> None:
        self._store = store
        self._clock = clock
        self._space = space

    # -- who has the journal ---------------------------------------------------------------------------------------

    async def put(self, records: Sequence[Record], form: str) -> str:
        """Puts a shard there, unless it is there already; its id. Raises `ConnectionError`."""
        keys = [record_key(record) for record in records]
        id = hashlib.blake2b("".join(keys).encode(), digest_size=12).hexdigest()
        lease = await self._store.get(f"{self._space}/lease/{id}")
        if lease is None:
            await self._store.set(f"{self._space}/input/{id}", msgspec.json.encode(list(records)), KEPT_S)
            fresh = msgspec.json.encode(Lease(form))
            await self._store.compare_and_set(f"{self._space}/lease/{id}", None, fresh, KEPT_S)
        return id

    async def answer(self, record: Record) -> Result | None:
        """What became of a record. Raises `ConnectionError`."""
        data = await self._store.get(f"{self._space}/answer/{record_key(record)}")
        return None if data is None else msgspec.json.decode(data, type=Result)

    async def forget(self, record: Record) -> None:
        """Its answer is in the journal. Raises `ConnectionError`."""
        await self._store.delete(f"{self._space}/answer/{record_key(record)}")

    async def outstanding(self, form: str) -> dict[str, set[str]]:
        """Shards of a dialect that wait for a worker or have one, with the keys of their records: what a journal that
        died has put there. Raises `ConnectionError`."""
        shards: dict[str, set[str]] = {}
        prefix = f"{self._space}/lease/"
        async for name, data in scanned(self._store, prefix, _PAGE):
            if msgspec.json.decode(data, type=Lease).form == form:
                id = name.removeprefix(prefix)
                records = await self._store.get(f"{self._space}/input/{id}")
                if records is not None:
                    shards[id] = {record_key(each) for each in msgspec.json.decode(records, type=list[Record])}
        return shards

    async def open(self, id: str) -> bool:
        """Whether a shard still waits for a worker, or for the one that has it. Raises `ConnectionError`."""
        return await self._store.get(f"{self._space}/lease/{id}") is not None

    async def retract(self, id: str) -> None:
        """Nobody needs to work on a shard any more. Raises `ConnectionError`."""
        await self._store.delete(f"{self._space}/lease/{id}")
        await self._store.delete(f"{self._space}/input/{id}")

    # -- workers ---------------------------------------------------------------------------------------------------

    async def lease(self, holder: str, forms: Sequence[str]) -> Shard | None:
        """A shard that nobody works on, now this holder's; None: there is none. Raises `ConnectionError`."""
        prefix = f"{self._space}/lease/"
        async with aclosing(scanned(self._store, prefix, _PAGE)) as leases:
            async for name, data in leases:
                lease = msgspec.json.decode(data, type=Lease)
                if lease.form not in forms or self._clock.wall() < lease.until:
                    continue
                id = name.removeprefix(prefix)
                mine = msgspec.json.encode(
                    Lease(lease.form, holder, self._clock.wall() + LEASE_S, lease.tries + (1 if lease.holder else 0))
                )
                if not await self._store.compare_and_set(name, data, mine, KEPT_S):
                    continue
                records = await self._store.get(f"{self._space}/input/{id}")
                if records is None:  # it was retracted meanwhile
                    await self._store.delete(name)
                    continue
                return Shard(id, lease.form, tuple(msgspec.json.decode(records, type=list[Record])), mine)
        return None

    async def renew(self, shard: Shard, holder: str) -> Shard | None:
        """The shard with a lease that lasts from now; None: somebody else has it. Raises `ConnectionError`."""
        known = msgspec.json.decode(shard.lease, type=Lease)
        mine = msgspec.json.encode(Lease(shard.form, holder, self._clock.wall() + LEASE_S, known.tries))
        name = f"{self._space}/lease/{shard.id}"
        if mine != shard.lease and not await self._store.compare_and_set(name, shard.lease, mine, KEPT_S):
            return None
        return msgspec.structs.replace(shard, lease=mine)

    async def keep(self, record: Record, result: Result) -> bool:
        """Puts an answer there; False: one was there already. Raises `ConnectionError`."""
        name = f"{self._space}/answer/{record_key(record)}"
        return await self._store.compare_and_set(name, None, msgspec.json.encode(result), KEPT_S)

    async def answered(self, shard: Shard) -> set[str]:
        """Ids of a shard's records that have an answer. Raises `ConnectionError`."""
        return {record.id for record in shard.records if await self.answer(record) is not None}

    async def aclose(self) -> None:
        """Lets go of the store."""
        await self._store.aclose()
