import asyncio

import pytest

from hapenny.core.guard import Guard
from hapenny.simulation import loop
from hapenny.stores.counters import Charge, MemoryCounters
from hapenny.throughput.breaker import BreakerSpec
from hapenny.throughput.concurrency import FixedLimit
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import CallOutcome, Gate, GateSpec
from hapenny.throughput.pools import Pool, QuotaSpec, Used
from hapenny.throughput.queue import Job, Priority, Shed
from hapenny.throughput.quota import Quota

POOL = Pool("model", "us-east-1")


def quota_gate(clock, per_minute=60_000, **spec):
    counters = MemoryCounters(clock)
    quota = Quota(POOL, QuotaSpec(tokens_per_minute=per_minute, output_burndown=5, **spec), counters, clock)
    return Gate(clock, [Endpoint("only", clock, quota=quota)]), counters


def level(gate, counters):
    return counters.levels_now([Charge(POOL.key + ":tpm", gate.endpoints[0].quota.tokens, 0)])[0]


def job(clock, *, input=1000, most=1000, **rest):
    rest.setdefault("begin_by", clock.now() + 30)
    return Job(input_tokens=input, max_tokens=most, **rest)


def test_reserves_input_and_max_tokens_and_settles_what_was_used():
    async def main(clock):
        gate, counters = quota_gate(clock)
        leave = await gate.enter(job(clock))
        assert level(gate, counters) == pytest.approx(58_000)
        leave.begun()
        leave.done(CallOutcome.OK, Used(1000, 100, cached=500))
        leave.done(CallOutcome.OK, Used(1000, 100))
        assert level(gate, counters) == pytest.approx(60_000 - 1_500)

    loop.run(main)


def test_waits_for_the_refill_and_turns_away_at_once_what_cannot_be_in_time():
    async def main(clock):
        gate, _ = quota_gate(clock)
        await gate.enter(job(clock, input=59_000, most=1000))
        started = clock.now()
        waiting = asyncio.create_task(gate.enter(job(clock, input=500, most=500)))
        await clock.sleep(0)
        with pytest.raises(Shed) as shed:
            await gate.enter(job(clock, input=40_000, most=1000))
        assert clock.now() == started
        assert shed.value.status == 429
        assert 0 < shed.value.retry_after < 20
        await waiting
        assert clock.now() - started == pytest.approx(1.0, abs=0.01)

    loop.run(main)


def test_the_deadline_bounds_the_wait():
    async def main(clock):
        gate, _ = quota_gate(clock)
        await gate.enter(job(clock, input=59_000, most=1000))
        with pytest.raises(Shed):
            await gate.enter(job(clock, input=500, most=500, begin_by=clock.now() + 1.2))
        began = clock.now()
        await gate.enter(job(clock, input=500, most=500, begin_by=clock.now() + 2))
        assert clock.now() - began > 0.9

    loop.run(main)


def test_leaving_the_queue_frees_the_place_and_takes_no_quota():
    async def main(clock):
        gate, counters = quota_gate(clock)
        await gate.enter(job(clock, input=59_000, most=1000))
        tasks = [asyncio.create_task(gate.enter(job(clock, input=250, most=250))) for _ in range(3)]
        await clock.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await clock.sleep(5)
        assert len(gate.queue) == 0
        assert level(gate, counters) == pytest.approx(5_100, abs=1)

    loop.run(main)


def test_cancelling_at_any_moment_leaks_nothing():
    async def main(clock):
        gate, counters = quota_gate(clock)
        for step in range(60):
            tasks = [asyncio.create_task(gate.enter(job(clock, input=20_000, most=9_000))) for _ in range(4)]
            for _ in range(step % 12):
                await asyncio.sleep(0)
            await clock.sleep(0.013 * step)
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.wait(tasks)
            for task in done:
                if not task.cancelled() and task.exception() is None:
                    task.result().done(CallOutcome.UNCALLED)
            await clock.sleep(60)
            assert level(gate, counters) == pytest.approx(60_000)
            assert gate.endpoints[0].inflight == 0
            assert len(gate.queue) == 0
        assert [t for t in asyncio.get_running_loop().pending() if t is not asyncio.current_task()] == []

    loop.run(main)


def server_gate(clock, places=1, **spec):
    return Gate(clock, [Endpoint("own", clock, limit=FixedLimit(places))], GateSpec(patience_s=100, **spec))


def test_urgent_goes_first_and_places_are_never_exceeded():
    async def main(clock):
        gate = server_gate(clock, 2, preempt=False)
        running, order, most = 0, [], 0

        async def one(name, priority):
            nonlocal running, most
            leave = await gate.enter(job(clock, priority=priority, begin_by=clock.now() + 1000))
            running += 1
            most = max(most, running)
            order.append(name)
            await clock.sleep(1)
            running -= 1
            leave.begun()
            leave.done(CallOutcome.OK, Used(10, 10))

        names = [("n", Priority.NORMAL)] * 4 + [("b", Priority.BACKGROUND)] * 2 + [("u", Priority.URGENT)] * 2
        await asyncio.gather(*(one(*each) for each in names))
        return most, order

    most, order = loop.run(main)
    assert most == 2
    assert order == ["n", "n", "u", "u", "n", "n", "b", "b"]


def test_a_full_server_sheds_with_503():
    async def main(clock):
        gate = server_gate(clock, 1)
        leave = await gate.enter(job(clock))
        leave.begun()
        with pytest.raises(Shed) as shed:
            await gate.enter(job(clock, begin_by=clock.now() + 0.4))
        assert shed.value.status == 503

    loop.run(main)


def test_the_queue_is_bounded():
    async def main(clock):
        gate = server_gate(clock, 1, queue=3)
        await gate.enter(job(clock))
        tasks = [asyncio.create_task(gate.enter(job(clock, begin_by=1e9))) for _ in range(10)]
        await clock.sleep(0.1)
        return sum(task.done() and isinstance(task.exception(), Shed) for task in tasks)

    assert loop.run(main) == 7


def test_an_outage_costs_one_probe_an_interval():
    async def main(clock):
        gate = Gate(clock, [Endpoint("down", clock, breaker=BreakerSpec(failures=3, probe_s=1, longest_s=4))])
        calls = shed = 0
        for _ in range(600):
            try:
                leave = await gate.enter(job(clock))
            except Shed as error:
                assert error.status == 503
                shed += 1
            else:
                calls += 1
                leave.done(CallOutcome.FAILED)
            await clock.sleep(0.1)
        leave = None
        while leave is None:
            try:
                leave = await gate.enter(job(clock))
            except Shed:
                await clock.sleep(0.1)
        leave.begun()
        leave.done(CallOutcome.OK, Used(1, 1))
        await gate.enter(job(clock))
        return calls, shed, clock.now()

    calls, shed, seconds = loop.run(main)
    assert calls <= 3 + seconds / 4 + 3
    assert calls + shed == 600


def test_traffic_moves_to_the_healthy_endpoint_and_back():
    async def main(clock):
        places = [Endpoint(name, clock, breaker=BreakerSpec(failures=3)) for name in ("one", "two")]
        gate = Gate(clock, places)
        served = {"one": 0, "two": 0}
        for step in range(400):
            leave = await gate.enter(job(clock))
            down = leave.endpoint.name == "one" and step < 200
            if not down:
                leave.begun()
            leave.done(CallOutcome.FAILED if down else CallOutcome.OK, Used(1, 1))
            if step < 200:
                served[leave.endpoint.name] += 1
            elif step > 250:
                served[leave.endpoint.name] += 1000
            await clock.sleep(0.1)
        return served

    served = loop.run(main)
    assert served["one"] % 1000 < 25
    assert served["one"] // 1000 > 30


def test_an_endpoint_that_fails_now_and_then_is_ejected_but_never_the_last_one():
    async def main(clock, names):
        gate = Gate(clock, [Endpoint(name, clock) for name in names])
        bad = 0
        for step in range(600):
            try:
                leave = await gate.enter(job(clock))
            except Shed:
                continue
            failed = leave.endpoint.name == "bad" and step % 3 == 0
            bad += leave.endpoint.name == "bad"
            if not failed:
                leave.begun()
            leave.done(CallOutcome.FAILED if failed else CallOutcome.OK, Used(1, 1))
            await clock.sleep(0.1)
        return bad

    assert loop.run(lambda clock: main(clock, ["bad", "good", "fine"])) < 80  # a third would be 200
    assert loop.run(lambda clock: main(clock, ["bad"])) == 600


def test_cheaper_endpoints_are_used_up_before_dearer_ones():
    async def main(clock):
        counters = MemoryCounters(clock)

        def endpoint(name, factor):
            spec = QuotaSpec(tokens_per_minute=10_000)
            return Endpoint(name, clock, quota=Quota(Pool("m", name), spec, counters, clock), cost_factor=factor)

        gate = Gate(clock, [endpoint("regional", 1.1), endpoint("global", 1.0)])
        return [(await gate.enter(job(clock))).endpoint.name for _ in range(10)]

    assert loop.run(main) == ["global"] * 5 + ["regional"] * 5


def test_affinity_keeps_a_prefix_on_one_server_until_it_is_busy():
    from hapenny.throughput.balance import Balancer

    async def main(clock):
        places = [Endpoint(f"s{n}", clock) for n in range(4)]
        gate = Gate(clock, places, balancer=Balancer(clock, affinity=True, leave_home=2.0))
        homes = set()
        for _ in range(30):
            leave = await gate.enter(job(clock, prefix="shop"))
            homes.add(leave.endpoint.name)
            leave.begun()
            leave.done(CallOutcome.OK, Used(1, 1))
        others = {(await gate.enter(job(clock, prefix=f"p{n}"))).endpoint.name for n in range(40)}
        flood = [(await gate.enter(job(clock, prefix="shop"))).endpoint.name for _ in range(200)]
        return homes, others, flood

    homes, others, flood = loop.run(main)
    assert len(homes) == 1
    assert len(others) == 4
    assert len(set(flood)) == 4


def test_a_store_that_breaks_in_an_unforeseen_way_ends_one_wait_and_no_other():
    """Neither the pump nor those behind the one it broke for stand still."""

    class Breaking(MemoryCounters):
        calls = 0

        async def reserve(self, charges, ttl_s=600.0):
            Breaking.calls += 1
            if Breaking.calls == 3:
                raise ZeroDivisionError
            return await super().reserve(charges, ttl_s)

    async def main(clock):
        counters = Breaking(clock)
        quota = Quota(POOL, QuotaSpec(tokens_per_minute=60_000), counters, clock)
        guard = Guard("queue", clock)
        gate = Gate(clock, [Endpoint("only", clock, quota=quota)], guard=guard)
        await gate.enter(job(clock, input=59_000, most=1000))
        waiting = [asyncio.create_task(gate.enter(job(clock, input=100, most=100))) for _ in range(4)]
        await asyncio.wait(waiting)
        errors = [task.exception() for task in waiting if task.exception() is not None]
        assert [type(error) for error in errors] == [ZeroDivisionError]
        assert guard.failures == 1
        assert clock.now() < 2

    loop.run(main)


def test_in_a_minute_window_a_job_waits_for_what_running_calls_will_give_back():
    """Calls that use less than they reserve give the rest back when they end: that is sooner than the next window."""

    async def main(clock):
        gate, _ = quota_gate(clock, per_minute=10_000, window="minute")
        for _ in range(200):  # answers are short: a call uses 100 of the 2,000 it reserves
            leave = await gate.enter(job(clock, begin_by=clock.now() + 90))
            leave.begun()
            leave.done(CallOutcome.OK, Used(100, 0))
        await clock.sleep(60 - clock.wall() % 60 + 5)
        running = [await gate.enter(job(clock)) for _ in range(5)]
        waiting = asyncio.create_task(gate.enter(job(clock, begin_by=clock.now() + 5)))
        await clock.sleep(1)
        running[0].begun()
        running[0].done(CallOutcome.OK, Used(100, 0))
        running[1].done(CallOutcome.OK, Used(100, 0))
        await waiting
        assert clock.wall() % 60 < 10

    loop.run(main)


def test_in_a_minute_window_full_calls_give_nothing_back_to_wait_for():
    async def main(clock):
        gate, _ = quota_gate(clock, per_minute=10_000, window="minute")
        for _ in range(5):
            await gate.enter(job(clock))
        with pytest.raises(Shed):
            await gate.enter(job(clock, begin_by=clock.now() + 5))

    loop.run(main)
