import asyncio

import pytest

from hapenny.core.errors import Failure, Unavailable, account_refused
from hapenny.simulation import loop
from hapenny.throughput.concurrency import FixedLimit
from hapenny.throughput.dispatch import Dispatcher
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import CallOutcome, Gate, GateSpec
from hapenny.throughput.hedge import Hedger, HedgeSpec
from hapenny.throughput.pools import Used
from hapenny.throughput.queue import Job, Priority, Shed
from hapenny.throughput.retry import Backoff


def job(clock, **rest):
    rest.setdefault("begin_by", clock.now() + 30)
    return Job(input_tokens=100, max_tokens=100, **rest)


class Upstream:
    """Fails as often as told, then begins after `delay`; `slow` numbers take ten times as long."""

    def __init__(self, clock, failures=(), delay=0.5, slow=()):
        self.clock, self.failures, self.delay, self.slow = clock, list(failures), delay, set(slow)
        self.calls, self.cancelled = [], 0

    async def __call__(self, leave, purpose):
        number = len(self.calls)
        self.calls.append((purpose, leave.endpoint.name, self.clock.now()))
        if self.failures:
            await self.clock.sleep(0.01)
            raise self.failures.pop(0)
        try:
            await self.clock.sleep(self.delay * (10 if number in self.slow else 1))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return number, leave


def dispatcher(clock, count=1, *, limit=None, hedger=None, spec=None, **rest):
    endpoints = [Endpoint(f"e{n}", clock, limit=FixedLimit(limit) if limit else None) for n in range(count)]
    return Dispatcher(clock, Gate(clock, endpoints, spec), hedger=hedger, **rest)


def test_a_failing_endpoint_is_left_for_another_one():
    async def main(clock):
        made = dispatcher(clock, 2)
        upstream = Upstream(clock, [Failure("overloaded", "busy")])
        await made.begin(job(clock), upstream)
        return upstream.calls

    (first, one, _), (second, other, _) = loop.run(main)
    assert (first, second) == ("serve", "retry")
    assert one != other


def test_tries_end_and_the_cause_is_kept():
    async def main(clock):
        upstream = Upstream(clock, [Failure("overloaded", "busy", upstream_status=503)] * 9)
        with pytest.raises(Unavailable) as raised:
            await dispatcher(clock, backoff=Backoff(tries=3)).begin(job(clock), upstream)
        assert raised.value.kind == "overloaded"
        return upstream.calls

    assert 2 <= len(loop.run(main)) <= 3


@pytest.mark.parametrize("kind", ["invalid_request", "permission", "context_overflow"])
def test_what_another_try_cannot_help_is_raised_at_once(kind):
    async def main(clock):
        upstream = Upstream(clock, [Failure(kind, "no")] * 3)
        made = dispatcher(clock)
        for _ in range(3):
            with pytest.raises(Failure, match="no"):
                await made.begin(job(clock), upstream)
        assert made.gate.endpoints[0].breaker.state == "closed"
        return len(upstream.calls)

    assert loop.run(main) == 3


SPENT = account_refused("add credit", upstream_status=429)
DENIED = account_refused("ask for access", upstream_status=403)


def test_an_endpoint_whose_account_is_refused_rests_at_once():
    async def main(clock):
        upstream = Upstream(clock, [SPENT])
        made = dispatcher(clock)
        with pytest.raises(Unavailable) as first:
            await made.begin(job(clock), upstream)
        started = clock.now()
        for _ in range(3):  # waiting mends no account: nobody does
            with pytest.raises(Shed) as later:
                await made.begin(job(clock), upstream)
        assert clock.now() == started
        assert (first.value.kind, later.value.kind, later.value.status) == ("provider_account", "provider_account", 503)
        assert first.value.operator
        assert len(upstream.calls) == 1
        await clock.sleep(15)
        await made.begin(job(clock), upstream)
        assert made.gate.endpoints[0].breaker.state == "closed"

    loop.run(main)


def test_an_account_that_is_refused_somewhere_is_served_elsewhere():
    async def main(clock):
        made = dispatcher(clock, 2)
        upstream = Upstream(clock, [SPENT])
        for _ in range(10):
            _, leave = await made.begin(job(clock), upstream)
            leave.done(CallOutcome.OK)
        return upstream.calls

    calls = loop.run(main)
    assert len(calls) == 11
    assert len({name for _, name, _ in calls[1:]}) == 1


def test_one_request_that_may_not_be_made_does_not_stop_the_others():
    """A 403 may be about what one request asks for; where calls have just succeeded, it takes five in a row."""

    async def main(clock):
        made = dispatcher(clock)
        (await made.begin(job(clock), Upstream(clock)))[1].done(CallOutcome.OK)
        for left in range(4, -1, -1):
            with pytest.raises(Unavailable):
                await made.begin(job(clock), Upstream(clock, [DENIED]))
            assert made.gate.endpoints[0].breaker.state == ("closed" if left else "open")

    loop.run(main)


def test_nothing_is_tried_again_once_bytes_went_out():
    async def main(clock):
        upstream = Upstream(clock, [Failure("overloaded", "busy")] * 3)
        with pytest.raises(Failure):
            await dispatcher(clock).begin(job(clock), upstream, lambda: False)
        return len(upstream.calls)

    assert loop.run(main) == 1


def warm(hedger, count=200):
    for _ in range(count):
        hedger.observe(0.5)
        hedger.earn(1000.0)
    return hedger


def test_a_slow_call_is_raced_and_the_loser_let_go():
    async def main(clock):
        hedger = warm(Hedger(HedgeSpec()))
        made = dispatcher(clock, 2, hedger=hedger)
        upstream = Upstream(clock, slow=[0])
        number, leave = await made.begin(job(clock), upstream)
        leave.done(CallOutcome.OK, Used(1, 1))
        await clock.sleep(0)
        assert [e.inflight for e in made.gate.endpoints] == [0, 0]
        return number, clock.now(), upstream

    number, took, upstream = loop.run(main)
    assert number == 1
    assert took < 1.5
    assert upstream.cancelled == 1
    assert [purpose for purpose, _, _ in upstream.calls] == ["serve", "hedge"]


def test_hedges_stop_at_their_cost_cap():
    async def main(clock):
        hedger = Hedger(HedgeSpec(cost_share=0.02))
        for _ in range(100):
            hedger.observe(0.05)
        made = dispatcher(clock, 2, hedger=hedger)
        upstream = Upstream(clock)  # suddenly everything is ten times slower than it was
        for _ in range(300):
            _, leave = await made.begin(job(clock), upstream)
            leave.done(CallOutcome.OK, Used(100, 100))
        return hedger.hedges

    assert loop.run(main) <= 15


def test_both_racing_calls_fail_and_everything_is_settled():
    async def main(clock):
        hedger = warm(Hedger(HedgeSpec()))
        made = dispatcher(clock, 2, hedger=hedger, backoff=Backoff(tries=1))

        async def fails(leave, purpose):
            await clock.sleep(2 if purpose == "serve" else 1)
            raise Failure("upstream", f"{purpose} failed")

        with pytest.raises(Unavailable, match="serve failed"):
            await made.begin(job(clock), fails)
        assert [e.inflight for e in made.gate.endpoints] == [0, 0]

    loop.run(main)


def test_cancelling_a_race_cancels_both_calls():
    async def main(clock):
        hedger = warm(Hedger(HedgeSpec()))
        made = dispatcher(clock, 2, hedger=hedger)
        upstream = Upstream(clock, delay=100)
        task = asyncio.create_task(made.begin(job(clock), upstream))
        await clock.sleep(2)
        task.cancel()
        await asyncio.wait([task])
        await clock.sleep(0)
        assert upstream.cancelled == len(upstream.calls) == 2
        assert [e.inflight for e in made.gate.endpoints] == [0, 0]
        assert asyncio.get_running_loop().pending() == [asyncio.current_task()]

    loop.run(main)


def test_a_long_background_call_yields_to_an_urgent_one_and_is_answered_later():
    async def main(clock):
        made = dispatcher(clock, limit=1, spec=GateSpec(patience_s=60, tokens_per_s=10))
        upstream = Upstream(clock, delay=5)
        ended = {}

        async def one(name, priority, begin_by):
            _, leave = await made.begin(job(clock, priority=priority, begin_by=begin_by), upstream)
            leave.done(CallOutcome.OK, Used(1, 1))
            ended[name] = clock.now()

        slow = asyncio.create_task(one("background", Priority.BACKGROUND, 1000))
        await clock.sleep(1)
        await one("urgent", Priority.URGENT, clock.now() + 1.5)
        await slow
        return ended, upstream.cancelled, made.gate.counts["preempted"]

    ended, cancelled, preempted = loop.run(main)
    assert preempted == cancelled == 1
    assert ended["urgent"] == pytest.approx(6, abs=0.1)
    assert ended["background"] == pytest.approx(11, abs=0.1)


def test_an_account_that_was_served_just_now_is_not_given_up_for_one_refusal():
    """One of a provider's servers may be wrong about it; five in a row are not."""

    async def main(clock):
        made = dispatcher(clock)
        (await made.begin(job(clock), Upstream(clock)))[1].done(CallOutcome.OK)
        for left in range(4, -1, -1):
            with pytest.raises(Unavailable):
                await made.begin(job(clock), Upstream(clock, [SPENT]))
            assert made.gate.endpoints[0].breaker.state == ("closed" if left else "open")

    loop.run(main)
