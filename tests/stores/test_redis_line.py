"""A counter store that hangs, is cut off, refuses to write or comes back empty: said at once, waited for by nobody."""

import asyncio
from urllib.parse import urlsplit

import pytest

from hapenny.core.clock import RealClock
from hapenny.stores.counters import Charge, Limit
from hapenny.stores.counters_redis import RedisCounters
from tests.fault_proxy import proxied

pytestmark = pytest.mark.redis
HOUR = Limit(amount=100, window_s=3600, kind="fixed")
ONE = [Charge("{p}:x", HOUR, 1)]


async def until(check):
    """Asks again until it holds; a test that waits for ever ends by its own limit."""
    async with asyncio.timeout(30):
        while True:
            try:
                if await check():
                    return
            except ConnectionError:
                pass
            await asyncio.sleep(0.05)


async def taken(counters):
    return HOUR.amount - (await counters.levels(ONE))[0]


@pytest.fixture
async def far(redis_url):
    address = urlsplit(redis_url)
    async with proxied(address.hostname, address.port) as proxy:
        counters = RedisCounters(f"redis://127.0.0.1:{proxy.port}/0", RealClock())
        yield proxy, counters
        proxy.go_on()
        await counters.aclose()


async def test_a_server_that_hangs_costs_nobody_more_than_its_limit_and_what_was_settled_arrives_later(far):
    proxy, counters = far
    first = (await counters.reserve([Charge("{p}:x", HOUR, 10)])).ticket
    proxy.hang()
    async with asyncio.timeout(10):
        lost = await asyncio.gather(*(counters.reserve(ONE) for _ in range(50)), return_exceptions=True)
        assert {type(each) for each in lost} == {ConnectionError}
        counters.settle(first, [4])
        for _ in range(1000):  # from then on nobody waits at all
            with pytest.raises(ConnectionError):
                await counters.reserve(ONE)
    proxy.go_on()

    async def settled():
        return await taken(counters) == 4  # also: what the lost calls may have reserved is given back

    await until(settled)


@pytest.mark.parametrize("how", ["cut", "down"])
async def test_a_lost_connection_is_made_again(far, how):
    proxy, counters = far
    await counters.reserve(ONE)
    if how == "cut":
        proxy.cut()
    else:
        await proxy.down()
        with pytest.raises(ConnectionError):
            await counters.reserve(ONE)
        await proxy.listen()

    async def granted():
        return (await counters.reserve(ONE)).ticket is not None

    await until(granted)


@pytest.mark.parametrize("refusal", ["memory", "replica", "scripts"])
async def test_a_server_that_takes_no_writes_is_lost_until_it_does(redis_url, refusal, capfd):
    import redis

    counters = RedisCounters(redis_url, RealClock())
    ticket = (await counters.reserve([Charge("{p}:x", HOUR, 10)])).ticket
    with redis.Redis.from_url(redis_url) as server:
        try:
            if refusal == "memory":
                server.config_set("maxmemory-policy", "noeviction")
                server.config_set("maxmemory", "1")
            elif refusal == "replica":
                server.execute_command("REPLICAOF", "127.0.0.1", "9")
            else:
                server.script_flush()
            if refusal != "scripts":  # those are simply loaded again
                with pytest.raises(ConnectionError):
                    await counters.reserve(ONE)
            counters.settle(ticket, [3])
        finally:
            server.config_set("maxmemory", "0")
            server.execute_command("REPLICAOF", "NO", "ONE")

    async def settled():
        return await taken(counters) == 3

    await until(settled)
    await counters.aclose()
    assert counters.lost == 0


async def test_a_server_that_lost_everything_begins_anew(far, redis_url):
    import redis

    _, counters = far
    await counters.reserve(ONE)
    with redis.Redis.from_url(redis_url) as server:
        server.flushall()
        server.script_flush()
    assert (await counters.reserve(ONE)).ticket


async def test_a_burst_at_two_gateways_gets_exactly_what_there_is(redis_url):
    """More calls at once than a client's pool has connections: none of them takes the store for lost."""
    nodes = [RedisCounters(redis_url, RealClock()) for _ in range(2)]
    grants = await asyncio.gather(*(node.reserve(ONE) for _ in range(400) for node in nodes))
    assert sum(grant.ticket is not None for grant in grants) == 100
    for node in nodes:
        await node.aclose()


async def test_who_leaves_while_it_waits_has_reserved_nothing(far):
    _, counters = far
    for turns in range(40):
        task = asyncio.ensure_future(counters.reserve([Charge("{p}:x", HOUR, 5)], ttl_s=900))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        (grant,) = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(grant, BaseException):
            counters.settle(grant.ticket, [0])

    async def nothing():
        return await taken(counters) == 0

    await until(nothing)


async def test_closing_does_not_wait_for_a_server_that_hangs(far):
    proxy, counters = far
    ticket = (await counters.reserve(ONE)).ticket
    proxy.hang()
    counters.settle(ticket, [1])
    async with asyncio.timeout(15):
        await counters.aclose()
    assert counters.lost == 1


async def test_the_line_goes_on_when_its_task_is_killed(far):
    proxy, counters = far
    await counters.reserve(ONE)
    proxy.hang()
    waiting = asyncio.ensure_future(counters.reserve(ONE))
    await asyncio.sleep(0.05)
    (line,) = [task for task in asyncio.all_tasks() if "keep" in repr(task.get_coro())]
    line.cancel()
    with pytest.raises(ConnectionError):
        await waiting
    proxy.cut()
    proxy.go_on()

    async def granted():
        return (await counters.reserve(ONE)).ticket is not None

    await until(granted)
