"""The contract of shared spaces, for every implementation: in this process, in the watching process, in Redis."""

import asyncio

import pytest

from hapenny.core.clock import RealClock
from hapenny.stores.host import HostLine, HostServer, HostSpace, HostState
from hapenny.stores.space import MOST_BYTES, MOST_NEWS, PAGE, MemorySpace


@pytest.fixture(params=["memory", "host", pytest.param("redis", marks=pytest.mark.redis)])
async def spaces(request, tmp_path):
    """Two gateways' ends of one space."""
    clock = RealClock()
    if request.param == "memory":
        made = MemorySpace(clock)
        yield made, made
        return
    if request.param == "host":
        server = HostServer(HostState(clock, 50_000_000), str(tmp_path / "socket"))
        await server.start()
        both = [HostSpace(HostLine(f"host:{tmp_path / 'socket'}", clock)) for _ in range(2)]
    else:
        from hapenny.stores.space_redis import RedisSpace

        server = None
        both = [RedisSpace(request.getfixturevalue("redis_url"), clock) for _ in range(2)]
    yield tuple(both)
    for each in both:
        await each.aclose()
    if server is not None:
        await server.aclose()


async def kept(space, key):
    """What is there, once what was said before is heard."""
    return (await space.look(key)).value


async def test_one_makes_the_value_and_the_others_get_it(spaces):
    one, other = spaces
    assert (await one.look("k", "a", 5.0)).mine
    assert (await one.look("k", "a", 5.0)).mine, "a holder keeps its lease"
    seen = await other.look("k", "b", 5.0)
    assert (seen.value, seen.mine) == (None, False)
    one.keep("k", "a", b"answer", 60.0)
    assert await kept(one, "k") == b"answer"
    seen = await other.look("k", "b", 5.0)
    assert (seen.value, seen.mine) == (b"answer", False)
    assert 0 <= seen.now - seen.kept < 5


async def test_who_lets_go_leaves_the_lease_to_the_next(spaces):
    one, other = spaces
    await one.look("k", "a", 60.0)
    other.let_go("k", "b")  # not its own
    assert not (await other.look("k", "b", 60.0)).mine
    one.let_go("k", "a")
    await one.look("elsewhere")
    assert (await other.look("k", "b", 60.0)).mine


async def test_the_lease_of_the_dead_ends_and_a_renewed_one_does_not(spaces):
    one, other = spaces
    await one.look("dead", "a", 0.2)
    await one.look("alive", "a", 0.2)
    one.renew("alive", "a", 60.0)
    other.renew("alive", "b", 0.01)  # not its own
    await asyncio.sleep(0.3)
    assert (await other.look("dead", "b", 5.0)).mine
    assert not (await other.look("alive", "b", 5.0)).mine


async def test_a_value_has_a_lifetime(spaces):
    one, other = spaces
    one.keep("short", "a", b"x", 0.15)
    one.keep("long", "a", b"y", 60.0)
    assert await kept(one, "long") == b"y"
    await asyncio.sleep(0.25)
    assert await kept(other, "short") is None
    assert await kept(other, "long") == b"y"


async def test_a_value_of_before_a_moment_is_none_and_can_be_made_again(spaces):
    one, other = spaces
    one.keep("k", "a", b"old", 60.0)
    at = (await one.look("k")).kept
    assert (await other.look("k", "b", 5.0, at)).mine
    assert not (await one.look("k", "a", 5.0, at)).mine
    await asyncio.sleep(0.005)
    other.keep("k", "b", b"new", 60.0)
    await other.look("k")
    assert (await one.look("k", "a", 5.0, at)).value == b"new"


async def test_a_value_that_is_too_long_ends_its_lease_only(spaces):
    one, other = spaces
    await one.look("k", "a", 60.0)
    one.keep("k", "a", bytes(MOST_BYTES + 1), 60.0)
    await one.look("k")
    assert (await other.look("k", "b", 5.0)).mine


async def test_news_reach_everybody_in_order_and_once(spaces):
    one, other = spaces
    for number in range(PAGE + 5):
        await (one if number % 2 else other).tell(b"%d" % number)
    heard, after = [], ""
    while True:
        page = await other.heard(after)
        assert not page.missed
        if not page.messages:
            break
        heard += [int(message.data) for message in page.messages]
        after = page.messages[-1].id
    assert heard == list(range(PAGE + 5))
    at = await one.tell(b"late")
    last = (await other.heard(after)).messages
    assert [message.data for message in last] == [b"late"]
    assert last[0].at == pytest.approx(at, abs=0.01)


async def test_who_was_away_for_too_long_learns_that_it_missed_something(spaces):
    one, other = spaces
    await one.tell(b"first")
    after = (await other.heard()).messages[0].id
    for start in range(0, MOST_NEWS + 1, 500):
        await asyncio.gather(*(one.tell(b"x") for _ in range(min(500, MOST_NEWS + 1 - start))))
    page = await other.heard(after)
    assert page.missed
    assert page.oldest > 0
    assert (await other.heard()).missed, "who comes new cannot know what left either"
    assert not (await other.heard(page.messages[-1].id)).missed


async def test_many_ask_and_one_gets_the_lease(spaces):
    seen = await asyncio.gather(*(spaces[n % 2].look("k", f"h{n}", 5.0) for n in range(64)))
    assert sum(each.mine for each in seen) == 1


@pytest.mark.redis
async def test_a_lost_redis_is_told_at_once_and_used_again_when_it_is_back(tmp_path):
    from hapenny.stores.space_redis import RedisSpace

    space = RedisSpace("redis://127.0.0.1:1/0", RealClock())
    with pytest.raises(ConnectionError):
        await space.look("k", "a", 1.0)
    with pytest.raises(ConnectionError):
        await space.tell(b"x")
    space.keep("k", "a", b"x", 1.0)
    await space.aclose()


async def test_a_watching_process_that_is_gone_is_a_lost_space(tmp_path):
    clock = RealClock()
    server = HostServer(HostState(clock, 1_000_000), str(tmp_path / "socket"))
    await server.start()
    space = HostSpace(HostLine(f"host:{tmp_path / 'socket'}", clock))
    assert (await space.look("k", "a", 1.0)).mine
    await server.aclose()
    await asyncio.sleep(0.05)
    with pytest.raises(ConnectionError):
        await space.look("k", "a", 1.0)
    await space.aclose()


async def test_memory_is_bounded_and_the_oldest_go_first():
    space = MemorySpace(RealClock(), 10_000)
    for number in range(20):
        space.keep(f"{number}", "a", bytes(1_000), 60.0)
    assert space.look_now("0").value is None
    assert space.look_now("19").value == bytes(1_000)
