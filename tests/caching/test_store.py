"""The bounded store, with a plain LRU beside it as the rival."""

import numpy as np
import pytest
from benchmarks.caching.eviction import lru
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.caching.store import OVERHEAD, Selector, Store

from .conftest import HandClock

KEY = b"k" * 32


def key(number):
    return number.to_bytes(32, "big")


@pytest.fixture
def store(clock):
    return Store(clock, 1_000_000)


def test_what_was_put_is_found_until_it_expires(store, clock):
    store.put(KEY, "answer", 100, ttl=60)
    assert store.get(KEY).value == "answer"
    clock.time += 59
    assert store.get(KEY).age(clock.time) == 59
    clock.time += 1
    assert store.get(KEY) is None
    assert len(store) == 0
    assert store.stats().bytes == 0


def test_a_stale_entry_is_there_for_revalidation_only(store, clock):
    store.put(KEY, "answer", 100, ttl=60, stale=30)
    clock.time += 70
    entry = store.get(KEY)
    assert entry is not None
    assert not entry.fresh(clock.time)
    clock.time += 20
    assert store.get(KEY) is None
    assert store.stats().stale_hits == 1


def test_replacing_counts_bytes_once(store):
    store.put(KEY, "one", 1000, ttl=60)
    store.put(KEY, "two", 50, ttl=60)
    assert store.get(KEY).value == "two"
    assert store.stats().bytes == 50 + OVERHEAD + len(KEY)


def test_never_more_bytes_than_allowed(clock):
    store = Store(clock, 100_000)
    sizes = np.random.default_rng(3).integers(10, 9000, size=500)
    for number, size in enumerate(sizes):
        store.put(key(number), number, int(size), ttl=60)
        assert store.stats().bytes <= 100_000
    assert len(store) > 10


def test_another_bound_holds_at_once_for_what_is_there(clock):
    store = Store(clock, 200_000)
    for number in range(100):
        store.put(key(number), number, 1000, ttl=60)
    store.resize(100_000)
    assert 50_000 < store.stats().bytes <= 100_000 == store.stats().capacity
    with pytest.raises(ValueError, match="too small"):
        store.resize(1)


def test_one_huge_answer_does_not_empty_the_store(clock):
    store = Store(clock, 100_000)
    store.put(key(1), "small", 100, ttl=60)
    assert store.put(key(2), "huge", 90_000, ttl=60) is None
    assert store.get(key(1)) is not None
    assert store.get(key(2)) is None
    assert store.stats().too_large == 1


def test_a_huge_replacement_removes_the_old_answer(clock):
    store = Store(clock, 100_000)
    store.put(KEY, "old", 100, ttl=60)
    store.put(KEY, "new but huge", 90_000, ttl=60)
    assert store.get(KEY) is None


def test_purge_by_each_criterion_and_dry_run(store, clock):
    store.put(key(1), 1, 10, ttl=900, tags=("epoch:7", "doc:a"), tenant="red")
    store.put(key(2), 2, 10, ttl=900, tags=("epoch:7",), tenant="blue")
    clock.time += 100
    store.put(key(3), 3, 10, ttl=900, tags=("epoch:8",), tenant="red")
    assert store.purge(Selector(tag="epoch:7"), dry_run=True).entries == 2
    assert len(store) == 3
    assert store.purge(Selector(tag="epoch:7", tenant="red")).entries == 1
    assert store.purge(Selector(older_than=50)).entries == 1
    assert store.purge(Selector(key=key(3), tenant="blue")).entries == 0
    assert store.purge(Selector(tenant="red")).entries == 1
    assert len(store) == 0
    assert store.purge(Selector(tag="epoch:8")).entries == 0


def store_hits(stream, capacity):
    store, hits = Store(HandClock(), capacity), 0
    for item in stream:
        if store.get(key(item)):
            hits += 1
        else:
            store.put(key(item), item, 1000, ttl=1e9)
    return hits


@pytest.mark.parametrize("skew", [0.8, 1.0])
def test_beats_lru_on_a_skewed_stream(skew):
    ranks = np.arange(1, 20_001, dtype=float) ** -skew
    stream = np.random.default_rng(5).choice(20_000, size=40_000, p=ranks / ranks.sum()).tolist()
    capacity = 1_000_000
    room = capacity // (1000 + OVERHEAD + 32)
    assert store_hits(stream, capacity) > 1.1 * len(stream) * lru(stream, room)


def test_a_scan_does_not_wash_out_the_favourites():
    favourites = list(range(200)) * 5
    scan = list(range(1000, 4000))
    after = store_hits(favourites + scan + favourites, 500_000) - store_hits(favourites + scan, 500_000)
    assert after == 1000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("gpdx"), st.integers(0, 30), st.integers(0, 8000)), max_size=200))
def test_books_stay_balanced(steps):
    """Whatever is done, the byte count equals the entries, and tags point at entries that are there."""
    clock = HandClock()
    store = Store(clock, 65_536)
    for action, number, amount in steps:
        if action == "g":
            store.get(key(number))
        elif action == "p":
            store.put(key(number), number, amount, ttl=50, tags=(f"t{number % 3}",))
        elif action == "d":
            store.delete(key(number))
        else:
            clock.time += amount / 100
    assert store.stats().bytes == sum(entry.size for entry in store) <= 65_536
    there = {entry.key for entry in store}
    assert {entry.key for number in range(3) for entry in store.select(Selector(tag=f"t{number}"))} == there
    for number in range(3):
        store.purge(Selector(tag=f"t{number}"))
    assert (len(store), store.stats().bytes) == (0, 0)
