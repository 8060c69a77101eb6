import asyncio
import os
import shutil
import signal
import subprocess
import sys

import pytest

from hapenny.core.clock import RealClock
from hapenny.stores.counters import Charge, Limit
from hapenny.stores.counters_redis import RedisCounters
from tests.servers import free_port, not_run

from .counters_contract import TPM, CountersContract, ManualClock

pytestmark = pytest.mark.redis


class TestRedis(CountersContract):
    @pytest.fixture
    async def store(self, redis_url):
        clock = ManualClock()
        counters = RedisCounters(redis_url, clock, own_clock=True)
        yield counters, clock
        await counters.aclose()


async def test_processes_together_never_get_more_than_there_is(redis_url):
    limit = Limit(amount=1000, window_s=3600, kind="fixed")
    nodes = [RedisCounters(redis_url, RealClock()) for _ in range(4)]

    async def take(node):
        granted = 0
        for _ in range(100):
            grant = await node.reserve([Charge("{pool}:tpm", limit, 10)])
            granted += grant.ticket is not None
        return granted

    assert sum(await asyncio.gather(*map(take, nodes))) == 100
    for node in nodes:
        await node.aclose()


CHILD = """
import asyncio, sys
from hapenny.core.clock import RealClock
from hapenny.stores.counters import Charge, Limit
from hapenny.stores.counters_redis import RedisCounters

async def main():
    counters = RedisCounters(sys.argv[1], RealClock())
    grant = await counters.reserve([Charge("{p}:held", Limit(amount=1, kind="held"), 1)], ttl_s=0.5)
    print("granted" if grant.ticket else "refused", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_process_gives_back_what_it_held(redis_url):
    child = subprocess.Popen([sys.executable, "-c", CHILD, redis_url], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline().strip() == "granted"
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    counters = RedisCounters(redis_url, RealClock())
    one = Limit(amount=1, kind="held")
    assert (await counters.reserve([Charge("{p}:held", one, 1)])).ticket is None
    await asyncio.sleep(0.6)
    assert await counters.expire() == 1
    assert (await counters.reserve([Charge("{p}:held", one, 1)])).ticket
    await counters.aclose()


async def test_tickets_of_the_dead_expire_while_others_work(redis_url):
    clock = ManualClock()
    dead, alive = (RedisCounters(redis_url, clock, own_clock=True) for _ in range(2))
    one = Limit(amount=1, kind="held")
    await dead.reserve([Charge("{p}:held", one, 1)], ttl_s=5)
    assert (await alive.reserve([Charge("{p}:held", one, 1)])).ticket is None
    clock.at += 60
    await alive.reserve([Charge("{p}:other", one, 1)])
    assert (await alive.reserve([Charge("{p}:held", one, 1)])).ticket
    await dead.aclose()
    await alive.aclose()


async def test_idle_counters_leave_the_server(redis_url):
    import redis

    counters = RedisCounters(redis_url, RealClock())
    grant = await counters.reserve([Charge("{p}:x", Limit(amount=10, window_s=0.1), 1)])
    counters.settle(grant.ticket, [1])
    await counters.aclose()
    await asyncio.sleep(1.6)
    with redis.Redis.from_url(redis_url) as client:
        assert set(client.keys("*")) <= {b"hapenny:probe:held"}, "which says that the server was used"


async def test_a_lost_server_is_an_error_to_reserve_and_none_to_settle(redis_url):
    from hapenny.stores.counters import Ticket

    counters = RedisCounters("redis://127.0.0.1:9/0", RealClock())
    counters.settle(Ticket("gone", (), "{p}"), [1])
    with pytest.raises(ConnectionError):
        await counters.reserve([Charge("{p}:x", Limit(amount=10), 1)])
    await counters.aclose()
    assert counters.lost == 2  # the settlement, and the giving back of what may have been reserved


async def test_a_server_that_comes_back_empty_lets_no_quota_be_used_twice(tmp_path):
    port = free_port()
    binary = next(filter(None, map(shutil.which, ("valkey-server", "redis-server"))), None)
    if binary is None:
        not_run("no redis-server here")

    def start():
        return subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
            stdout=subprocess.DEVNULL,
        )

    async def reserved(counters, amount):
        while True:
            try:
                return (await counters.reserve([Charge("{p}:tpm", TPM, amount)])).ticket is not None
            except ConnectionError:
                await asyncio.sleep(0.05)

    server = start()
    counters = RedisCounters(f"redis://127.0.0.1:{port}/0", RealClock())
    try:
        assert await reserved(counters, 5_000)
        server.kill()
        server.wait()
        with pytest.raises(ConnectionError):
            await counters.reserve([Charge("{p}:tpm", TPM, 1)])
        server = start()
        await reserved(counters, 1)
        await asyncio.sleep(0.1)
        assert not await reserved(counters, 3_000), "what was taken before is not there again"
    finally:
        await counters.aclose()
        server.kill()
        server.wait()
