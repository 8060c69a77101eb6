"""A store bounded in bytes that keeps what is asked for again: S3-FIFO.

Three first-in-first-out queues (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): newcomers
enter a small one (a tenth of the bytes); those asked for twice move to the main one, the others leave only their key
in a ghost queue, and come back straight into the main one. A one-hit wonder never pushes out a favourite. Single
threaded, no I/O, no background task.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from msgspec import Struct

from hapenny.core.clock import Clock

V = TypeVar("V")

OVERHEAD = 650
"""Bytes an entry costs beside its value: key, queues, tags (measured on CPython 3.11)."""
_SMALL_SHARE = 0.1
_MOST_USES = 3


class Entry(Struct, Generic[V], gc=False):
    """A stored value. Times are epoch seconds (`Clock.wall`)."""

    key: bytes
    value: V
    size: int
    """Bytes it is counted with, overhead included."""
    stored: float
    expires: float
    """Fresh before this moment."""
    dies: float
    """Served stale, while somebody revalidates, before this moment; gone after it."""
    tags: tuple[str, ...] = ()
    tenant: str = ""
    uses: int = 0
    """Hits since it was stored or last moved, at most 3: the eviction's memory."""
    hits: int = 0
    """All hits."""

    def fresh(self, now: float) -> bool:
        """Whether it may be served without asking again."""
        return now < self.expires

    def age(self, now: float) -> float:
        """Seconds since it was stored."""
        return max(0.0, now - self.stored)


class Selector(Struct, frozen=True, kw_only=True):
    """Which entries an invalidation means; everything given must match. All None means every entry."""

    key: bytes | None = None
    tag: str | None = None
    also: str | None = None
    """A second tag."""
    prefix: str | None = None
    """How the key begins, hex."""
    tenant: str | None = None
    older_than: float | None = None
    """Seconds since the entry was stored."""

    def matches(self, entry: Entry[V], now: float) -> bool:
        """Whether `entry` is meant."""
        return (
            (self.key is None or entry.key == self.key)
            and (self.tag is None or self.tag in entry.tags)
            and (self.also is None or self.also in entry.tags)
            and (self.prefix is None or entry.key.hex().startswith(self.prefix))
            and (self.tenant is None or entry.tenant == self.tenant)
            and (self.older_than is None or entry.age(now) > self.older_than)
        )


class Purged(Struct, frozen=True):
    """What an invalidation removed, or in a dry run would remove."""

    entries: int
    bytes: int
    dry_run: bool


class StoreStats(Struct, kw_only=True):
    """Counters since start, and what is there now."""

    hits: int = 0
    stale_hits: int = 0
    misses: int = 0
    puts: int = 0
    evictions: int = 0
    expired: int = 0
    purged: int = 0
    too_large: int = 0
    entries: int = 0
    bytes: int = 0
    capacity: int = 0


class Store(Generic[V]):
    """Keys to values within `capacity` bytes, overhead included; S3-FIFO eviction, TTL, tags, tenants."""

    def __init__(self, clock: Clock, capacity: int) -> None:
        """ValueError if `capacity` cannot hold a few small entries (64 KiB)."""
        self._clock = clock
        self._capacity = _enough(capacity)
        self._small: OrderedDict[bytes, Entry[V]] = OrderedDict()
        self._main: OrderedDict[bytes, Entry[V]] = OrderedDict()
        self._ghost: OrderedDict[bytes, None] = OrderedDict()
        self._small_bytes = 0
        self._bytes = 0
        self._by_tag: dict[str, set[bytes]] = {}
        self._counts = StoreStats(capacity=capacity)

    def resize(self, capacity: int) -> None:
        """Another bound from now on. ValueError as above."""
        self._capacity = self._counts.capacity = _enough(capacity)
        while self._bytes > capacity:
            self._evict(self._clock.wall())

    def get(self, key: bytes) -> Entry[V] | None:
        """The entry, fresh or within its stale window (ask `fresh`); counts as a use."""
        entry = self.peek(key)
        if entry is None:
            self._counts.misses += 1
            return None
        entry.uses = min(entry.uses + 1, _MOST_USES)
        entry.hits += 1
        if entry.fresh(self._clock.wall()):
            self._counts.hits += 1
        else:
            self._counts.stale_hits += 1
        return entry

    def peek(self, key: bytes) -> Entry[V] | None:
        """As `get`, but leaves no trace."""
        entry = self._small.get(key) or self._main.get(key)
        if entry is None:
            return None
        if self._clock.wall() >= entry.dies:
            self._drop(entry)
            self._counts.expired += 1
            return None
        return entry

    def put(
        self,
        key: bytes,
        value: V,
        size: int,
        ttl: float,
        tags: Iterable[str] = (),
        *,
        tenant: str = "",
        stale: float = 0.0,
        at: float | None = None,
    ) -> Entry[V] | None:
        """Stores or replaces `value`; None if it is larger than the whole main queue should ever give to one entry.

        Args:
            size: bytes of the value alone.
            ttl: seconds it is fresh.
            stale: seconds after that in which it may be served while it is revalidated.
            at: since when it is kept (epoch seconds), of one that comes from elsewhere; None: from now on.
        """
        size += OVERHEAD + len(key)
        known = self._small.get(key) or self._main.get(key)
        favourite = key in self._main or key in self._ghost
        if known is not None:
            self._drop(known)
        if size > self._capacity // 8:
            self._counts.too_large += 1
            return None
        now = self._clock.wall()
        since = now if at is None else at
        entry = Entry(key, value, size, since, since + ttl, since + ttl + stale, tuple(tags), tenant)
        if known is not None:
            entry.uses, entry.hits = known.uses, known.hits
        self._ghost.pop(key, None)
        self._insert(entry, main=favourite)
        for tag in entry.tags:
            self._by_tag.setdefault(tag, set()).add(key)
        self._counts.puts += 1
        while self._bytes > self._capacity:
            self._evict(now)
        return entry

    def delete(self, key: bytes) -> bool:
        """Forgets a key; whether it was there."""
        entry = self._small.get(key) or self._main.get(key)
        if entry is None:
            return False
        self._drop(entry)
        self._counts.purged += 1
        return True

    def select(self, which: Selector) -> list[Entry[V]]:
        """All entries that `which` means."""
        now = self._clock.wall()
        return [entry for entry in self._candidates(which) if which.matches(entry, now)]

    def purge(self, which: Selector, *, dry_run: bool = False) -> Purged:
        """Removes all entries that `which` means."""
        gone = self.select(which)
        if not dry_run:
            for entry in gone:
                self._drop(entry)
            self._counts.purged += len(gone)
        return Purged(len(gone), sum(entry.size for entry in gone), dry_run)

    def expire(self, which: Selector, *, keep: str = "") -> int:
        """Marks entries stale now, except those with the tag `keep`; from now on they may be served stale as long as
        they might have been after their time. Counts them."""
        now = self._clock.wall()
        count = 0
        for entry in self._candidates(which):
            if which.matches(entry, now) and keep not in entry.tags and entry.fresh(now):
                entry.expires, entry.dies = now, now + (entry.dies - entry.expires)
                count += 1
        return count

    def stats(self) -> StoreStats:
        """A copy of the counters."""
        counts = {name: getattr(self._counts, name) for name in self._counts.__struct_fields__}
        return StoreStats(**{**counts, "entries": len(self), "bytes": self._bytes})

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __iter__(self) -> Iterator[Entry[V]]:
        """All entries, those about to leave first; the store must not change meanwhile."""
        yield from self._small.values()
        yield from self._main.values()

    def _candidates(self, which: Selector) -> list[Entry[V]]:
        if which.key is not None:
            entry = self._small.get(which.key) or self._main.get(which.key)
            return [entry] if entry else []
        if which.tag is not None:
            keys = sorted(self._by_tag.get(which.tag, ()))
            return [self._small.get(key) or self._main[key] for key in keys]
        return list(self)

    def _insert(self, entry: Entry[V], *, main: bool) -> None:
        (self._main if main else self._small)[entry.key] = entry
        self._bytes += entry.size
        if not main:
            self._small_bytes += entry.size

    def _drop(self, entry: Entry[V]) -> None:
        if self._small.pop(entry.key, None) is not None:
            self._small_bytes -= entry.size
        else:
            del self._main[entry.key]
        self._bytes -= entry.size
        for tag in entry.tags:
            keys = self._by_tag[tag]
            keys.discard(entry.key)
            if not keys:
                del self._by_tag[tag]

    def _evict(self, now: float) -> None:
        """Moves one entry on: out, or into the main queue, or to the main queue's end."""
        if self._small_bytes > self._capacity * _SMALL_SHARE or not self._main:
            entry = next(iter(self._small.values()))
            if entry.uses > 1 and now < entry.dies:
                del self._small[entry.key]
                self._small_bytes -= entry.size
                entry.uses = 0
                self._main[entry.key] = entry
                return
            self._remember(entry.key)
        else:
            entry = next(iter(self._main.values()))
            if entry.uses > 0 and now < entry.dies:
                entry.uses -= 1
                self._main.move_to_end(entry.key)
                return
        self._drop(entry)
        self._counts.evictions += 1

    def _remember(self, key: bytes) -> None:
        self._ghost[key] = None
        while len(self._ghost) > max(len(self._main), 64):
            self._ghost.popitem(last=False)


def _enough(capacity: int) -> int:
    if capacity < 65_536:
        raise ValueError(f"capacity: {capacity} bytes is too small for a cache; use at least 65536")
    return capacity
