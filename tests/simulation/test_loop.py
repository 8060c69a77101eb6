import asyncio
import socket
import time

import pytest

from hapenny.simulation import loop as virtual


def test_hours_pass_without_waiting():
    async def main(clock):
        await clock.sleep(3 * 3600)
        async with asyncio.timeout(100):
            await asyncio.sleep(50)
        return clock.now(), clock.wall()

    started = time.monotonic()
    now, wall = virtual.run(main)
    assert now == pytest.approx(3 * 3600 + 50)
    assert wall == pytest.approx(virtual.EPOCH + now)
    assert time.monotonic() - started < 60  # three hours would be 10,800


def test_timeouts_fire_in_virtual_time():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.Event().wait()
        return virtual.clock().now()

    assert virtual.run(main()) == pytest.approx(2.5)


def test_timers_fire_in_order_of_time_then_creation():
    async def main(clock):
        seen = []

        async def note(delay, name):
            await clock.sleep(delay)
            seen.append((round(clock.now(), 6), name))

        await asyncio.gather(note(0.3, "c"), note(0.1, "a"), note(0.3, "d"), note(0.2, "b"))
        return seen

    assert virtual.run(main) == [(0.1, "a"), (0.2, "b"), (0.3, "c"), (0.3, "d")]


async def _story(clock):
    """Chance, ids and sets of tasks together: everything that could differ between two runs."""
    log = []

    async def worker(name):
        for _ in range(5):
            await clock.sleep(clock.random.expovariate(1.0))
            log.append((name, clock.now(), clock.new_id("r-")))

    tasks = {asyncio.create_task(worker(i)) for i in range(40)}
    while tasks:
        done, tasks = await asyncio.wait(tasks, timeout=0.5)
        log.extend(("done", task.get_name()) for task in done)
        log.extend(("left", hash(task)) for task in tasks)
    return [entry if entry[0] != "done" else "done" for entry in log], await clock.work("embed", 3, lambda: 7)


def test_equal_seeds_tell_equal_stories():
    first, second = virtual.run(_story, 11), virtual.run(_story, 11)
    assert first == second
    assert first != virtual.run(_story, 12)


def test_ids_do_not_shift_chance():
    async def with_ids(clock):
        clock.new_id()
        return clock.random.random()

    async def without(clock):
        return clock.random.random()

    assert virtual.run(with_ids, 3) == virtual.run(without, 3)


def test_work_runs_inline_and_takes_its_modelled_time():
    async def main(clock):
        value = await clock.work("embed", 4, lambda: "done")
        return value, clock.now()

    assert virtual.run(main, costs={"embed": 0.25}) == ("done", 1.0)


def test_sockets_are_refused():
    async def main():
        left, right = socket.socketpair()
        try:
            left.setblocking(False)
            await asyncio.get_running_loop().sock_recv(left, 1)
        finally:
            left.close()
            right.close()

    with pytest.raises(virtual.ForbiddenDescriptor):
        virtual.run(main())


def test_threads_are_refused():
    with pytest.raises(RuntimeError, match="threads"):
        virtual.run(asyncio.to_thread(time.time))


def test_a_hang_is_an_error():
    async def main():
        await asyncio.Event().wait()

    with pytest.raises(virtual.Deadlock):
        virtual.run(main())


def test_turning_without_time_is_an_error(monkeypatch):
    monkeypatch.setattr(virtual, "STALL_STEPS", 1000)

    async def main():
        while True:
            await asyncio.sleep(0)

    with pytest.raises(virtual.Livelock):
        virtual.run(main())


def test_limit_ends_a_run_that_never_ends():
    async def main(clock):
        while True:
            await clock.sleep(1)

    with pytest.raises(TimeoutError, match="limit"):
        virtual.run(main, limit=30)


def test_pending_tasks_are_cancelled_oldest_first():
    ended = []

    async def child(name):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def main(clock):
        tasks = [asyncio.create_task(child(i)) for i in range(5)]
        await clock.sleep(1)
        assert asyncio.get_running_loop().pending()[1:] == tasks

    virtual.run(main)
    assert ended == [0, 1, 2, 3, 4]


def test_the_clock_is_only_inside():
    with pytest.raises(RuntimeError):
        virtual.clock()
