"""The key-value contract."""

import asyncio

import pytest

from hapenny.stores.kv import scanned
from hapenny.stores.open_kv import open_kv


async def test_a_value_is_what_was_put_last(kv):
    assert await kv.get("a") is None
    await kv.set("a", b"1")
    await kv.set("a", b"\x00\xff2")
    assert await kv.get("a") == b"\x00\xff2"
    assert await kv.delete("a") is True
    assert await kv.delete("a") is False
    assert await kv.get("a") is None


async def test_an_empty_value_is_a_value(kv):
    await kv.set("a", b"")
    assert await kv.get("a") == b""
    assert await kv.compare_and_set("a", None, b"x") is False
    assert await kv.compare_and_set("a", b"", b"x") is True


async def test_a_lifetime_ends(kv, time):
    await kv.set("short", b"1", ttl=0.2)
    await kv.set("long", b"1", ttl=60)
    assert await kv.get("short") == b"1"
    await time.passes(0.25)
    assert await kv.get("short") is None
    assert await kv.get("long") == b"1"
    assert await kv.scan() == [("long", b"1")]
    assert await kv.delete("short") is False


async def test_putting_again_replaces_the_lifetime(kv, time):
    await kv.set("a", b"1", ttl=0.1)
    await kv.set("a", b"2")
    await time.passes(0.15)
    assert await kv.get("a") == b"2"


async def test_compare_and_set(kv, time):
    assert await kv.compare_and_set("a", b"0", b"1") is False
    assert await kv.compare_and_set("a", None, b"1", ttl=0.2) is True
    assert await kv.compare_and_set("a", None, b"2") is False
    assert await kv.compare_and_set("a", b"0", b"2") is False
    assert await kv.get("a") == b"1"
    await time.passes(0.25)
    assert await kv.compare_and_set("a", b"1", b"2") is False
    assert await kv.compare_and_set("a", None, b"3") is True
    await time.passes(0.25)
    assert await kv.compare_and_set("a", b"3", b"4") is True
    assert await kv.get("a") == b"4"


async def test_increments_by_many_tasks_are_all_counted(kv):
    async def increment():
        while True:
            value = await kv.get("n")
            if await kv.compare_and_set("n", value, str(int(value or b"0") + 1).encode()):
                return

    await asyncio.gather(*(increment() for _ in range(12)))
    assert await kv.get("n") == b"12"


async def test_scan_finds_a_prefix_in_order_and_pages(kv):
    keys = ["b:1", "b:2", "b:10", "b", "a:1", "c", "b*x", "b[1]", "b?é", "b:日本", "bÿ", "b\\x"]
    for key in keys:
        await kv.set(key, key.encode())
    mine = sorted(key for key in keys if key.startswith("b"))
    assert await kv.scan("b") == [(key, key.encode()) for key in mine]
    assert [key for key, _ in await kv.scan("b*")] == ["b*x"]
    assert [key for key, _ in await kv.scan("b[")] == ["b[1]"]
    assert [key for key, _ in await kv.scan("b\\")] == ["b\\x"]
    seen, after = [], ""
    while page := await kv.scan("b", after=after, limit=2):
        assert len(page) <= 2
        seen += [key for key, _ in page]
        after = page[-1][0]
    assert seen == mine
    assert await kv.scan("nothing") == []


@pytest.mark.parametrize("count", [0, 5, 6, 7])
async def test_all_pairs_of_a_prefix_are_read_page_by_page(kv, count):
    await kv.set("other", b"x")
    for number in range(count):
        await kv.set(f"a/{number}", b"%d" % number)
    pairs = [pair async for pair in scanned(kv, "a/", page=3)]
    assert pairs == [(f"a/{number}", b"%d" % number) for number in range(count)]


async def test_keys_and_values_of_any_shape(kv):
    await kv.set("ключ 🗝 " * 50, b"x" * 1_000_000)
    assert await kv.get("ключ 🗝 " * 50) == b"x" * 1_000_000


async def test_memory_is_bounded(clock):
    from hapenny.stores.memory import MemoryKeyValue

    store = MemoryKeyValue(clock, capacity=3)
    for name in "abc":
        await store.set(name, b"1")
    await store.get("a")
    await store.set("d", b"1")
    assert [key for key, _ in await store.scan()] == ["a", "c", "d"]


async def test_values_whose_life_is_over_leave_the_file(clock, tmp_path):
    from hapenny.stores.sqlite import SWEEP, SqliteFile, SqliteKeyValue

    file = SqliteFile(str(tmp_path / "kv.db"), clock)
    store = SqliteKeyValue(file)
    await store.set("old", b"1", ttl=1)
    clock.t += 2
    for n in range(SWEEP):
        await store.set(f"k{n % 5}", b"1")
    assert await file.run(lambda db: db.execute("SELECT count(*) FROM kv").fetchone()[0]) == 5
    await store.aclose()


@pytest.mark.redis
async def test_deployments_on_one_redis_do_not_see_each_other(clock, redis_url):
    one, two = open_kv(redis_url, clock, space="one"), open_kv(redis_url, clock, space="two")
    await one.set("a", b"1")
    assert await two.get("a") is None
    assert await two.scan() == []
    await one.aclose()
    await two.aclose()


def test_an_unknown_url_is_refused(clock):
    with pytest.raises(ValueError, match="use memory:"):
        open_kv("mongodb://x", clock)
