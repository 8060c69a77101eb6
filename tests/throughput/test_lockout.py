"""What was learnt of a provider never keeps anybody out who would be served: the running gateway, in virtual time."""

import asyncio
import contextlib
from itertools import pairwise

import pytest

from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import load
from hapenny.core.errors import Failure, Unavailable
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop
from hapenny.simulation.cards import CURRENT_2026
from hapenny.simulation.faults import Fault
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.stores.counters import MemoryCounters, Ticket
from hapenny.throughput.breaker import BreakerSpec
from hapenny.throughput.dispatch import Dispatcher
from hapenny.throughput.endpoint import Endpoint
from hapenny.throughput.gate import CallOutcome, Gate, GateSpec
from hapenny.throughput.hold import Hold
from hapenny.throughput.pools import Pool, QuotaSpec, Used
from hapenny.throughput.queue import Job, Shed
from hapenny.throughput.quota import Quota
from hapenny.throughput.retry import Backoff
from hapenny.throughput.view import view

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"

CONFIG = """
backends: {aws: {kind: simulated, card: current-2026}}
models: {haiku: {id: %s, backend: aws, region: us-east-1}}
tiers: {strong: haiku}
routes: {default: {holdout: 0, begin_s: 30, finish_s: 60, stages: {exact: "off", flights: "off"}}}
ledger: null
stages: {throughput: %s}
"""


class House:
    """A gateway over a provider that refuses whatever comes in `refuses` (seconds from the start)."""

    def __init__(self, clock, refuses, throughput="{}", tpm=None):
        # What a provider takes is not bounded here, unless a test says so: refusals are an outage's.
        faults = [Fault(kind="throttle", begin=begin, end=end) for begin, end in refuses]
        self.provider = SimulatedProvider(
            clock, CURRENT_2026, seed=7, quotas={"*": Limit(None, tpm)}, faults=faults
        )  # fmt: skip
        self.clock, self.done, self.tasks = clock, [], []
        backends = {"aws": SimulatedBackend("aws", self.provider)}
        self.gateway = Gateway(load(text=CONFIG % (HAIKU, throughput)), clock=clock, backends=backends)

    async def ask(self, number, most=None):
        started = self.clock.now()
        request = Request(
            protocol="openai",
            model="haiku",
            messages=(Message("user", (Text(f"Where is order {number}?"),)),),
            parameters=Parameters(max_tokens=most),
            stream=True,
        )
        try:
            await self.gateway.complete(request, Context())
        except Failure as failure:
            self.done.append((started, failure, self.clock.now() - started))
            return failure
        self.done.append((started, None, self.clock.now() - started))
        return None

    async def traffic(self, every, until, most=None):
        while self.clock.now() < until:
            self.tasks.append(asyncio.ensure_future(self.ask(len(self.tasks), most)))
            await self.clock.sleep(every)
        await asyncio.gather(*self.tasks)

    def refused(self, begin, end):
        return [failure for started, failure, _ in self.done if begin <= started < end and failure is not None]


def run(main):
    async def closing(clock):
        houses = []

        def house(*args, **rest):
            houses.append(House(clock, *args, **rest))
            return houses[-1]

        try:
            return await main(clock, house)
        finally:
            for each in houses:
                await each.gateway.aclose()

    return loop.run(closing)


@pytest.mark.parametrize(
    ("every", "outages"),
    [
        (5.0, [(30, 60)]),  # a quiet service
        (0.5, [(0, 40)]),  # one that starts in an outage
        (0.1, [(30, 60)]),  # a busy one
        (0.1, [(30, 36)]),  # a short outage
        (0.5, [(30 + 60 * n, 50 + 60 * n) for n in range(4)]),  # again and again
        (5.0, [(30, 330)]),  # a long one
    ],
)
def test_an_outage_of_refusals_is_over_when_it_is_over(every, outages):
    """The provider refuses everything for a while and then nothing: half a minute later nobody is refused."""
    end = max(end for _, end in outages)

    async def main(clock, house):
        here = house(outages)
        await here.traffic(every, end + 120)
        assert here.refused(end + 30, end + 120) == []
        assert max(took for _, _, took in here.done) <= 30
        return len(here.provider.bill.lines), len(here.refused(*outages[0]))

    served, refused = run(main)
    assert served
    assert refused


def test_a_learnt_quota_is_forgotten_when_no_refusal_comes_any_more():
    async def main(clock, house):
        here = house([], tpm=30_000)
        await here.traffic(0.25, 240, most=400)
        (route,) = view(here.gateway.parts.dispatchers)
        assert route["endpoints"][0]["quota"]["learnt"]
        here.provider.quota(HAIKU, "us-east-1").tpm = None
        await here.traffic(5.0, 900)
        (route,) = view(here.gateway.parts.dispatchers)
        assert not route["endpoints"][0]["quota"]["learnt"]
        assert here.refused(300, 900) == []

    run(main)


def test_who_is_held_back_by_a_learnt_quota_is_told_so_and_so_are_metrics():
    async def main(clock, house):
        here = house([], tpm=30_000)
        await here.traffic(0.25, 240, most=400)
        words = {failure.message for failure in here.refused(120, 240)}
        assert any("learnt from the provider's refusals" in each for each in words)
        metrics = here.gateway.recorder.metrics.render().decode()
        line = next(line for line in metrics.splitlines() if line.startswith("hapenny_learnt_tokens_per_minute{"))
        assert 20_000 < float(line.rsplit(" ", 1)[1]) < 35_000

    run(main)


@pytest.mark.parametrize("wrong", [2.0, 200.0])
def test_a_learnt_quota_that_is_far_too_low_lets_a_trickle_through_and_rises(wrong):
    """However a learner came to its estimate: calls go through at once and again, and show it to be wrong."""

    async def main(clock):
        quota = Quota(Pool("m"), QuotaSpec(), MemoryCounters(clock), clock)
        for _ in range(30):  # what the estimate is made from
            quota.learner.took(2.0 * wrong / 60)
            quota.learner.accepted(clock.now())
            await clock.sleep(2.0)
        quota.refused(Job(input_tokens=1, max_tokens=1), Ticket("", ()), clock.now())
        assert quota.tokens.rate * 60 < wrong
        gate, waits, through = Gate(clock, [Endpoint("only", clock, quota=quota)]), [], 0
        began, last = clock.now(), clock.now()
        while clock.now() < began + 600:
            job = Job(input_tokens=500, max_tokens=4096, begin_by=clock.now() + 30)
            try:
                leave = await gate.enter(job)
            except Shed:
                await clock.sleep(1.0)
                continue
            waits.append(clock.now() - last)
            last = clock.now()
            await clock.sleep(0.2)
            leave.begun()
            leave.done(CallOutcome.OK, Used(500, 100))
            through += clock.now() > began + 480
            await clock.sleep(1.0)
        return waits, through

    waits, through = loop.run(main)
    assert max(waits) < 10
    assert through > 70  # of a call each 1.2 s: held back no more


def test_nobody_waits_longer_than_allowed_behind_one_who_may():
    """The head of the queue waits for a quota of hours; who stands behind is told when the own time is over."""

    async def main(clock):
        spec = QuotaSpec(tokens_per_minute=60)
        gate = Gate(clock, [Endpoint("only", clock, quota=Quota(Pool("m"), spec, MemoryCounters(clock), clock))],
                    GateSpec(patience_s=20))  # fmt: skip
        await gate.enter(Job(input_tokens=30, max_tokens=30, begin_by=clock.now() + 1e6))
        waits = {}

        async def one(name, begin_s):
            started = clock.now()
            job = Job(input_tokens=8, max_tokens=8, begin_by=started + begin_s)
            with contextlib.suppress(Shed):
                (await gate.enter(job)).done(CallOutcome.OK, Used(8, 8))
            waits[name] = clock.now() - started

        await asyncio.gather(one("head", 100.0), one("second", 40.0), one("hurried", 3.0))
        assert waits["hurried"] == 0  # cannot be: told at once
        assert waits["head"] <= 20
        assert waits["second"] <= 40

    loop.run(main)


def throttled(times, **rest):
    """An attempt that is refused so often, and notes when it was made."""
    made, left = [], [times]

    def attempt(clock):
        async def call(leave, purpose):
            made.append(clock.now())
            await clock.sleep(0.01)
            if left[0]:
                left[0] -= 1
                raise Failure("rate_limited", "too many requests", **rest)
            return leave

        return call

    return attempt, made


def dispatcher(clock, backoff, learn=True, **quota):
    pool = Quota(Pool("m"), QuotaSpec(learn=learn, **quota), MemoryCounters(clock), clock, backoff=backoff)
    return Dispatcher(clock, Gate(clock, [Endpoint("only", clock, quota=pool)]), backoff=backoff)


QUOTAS = [{}, {"learn": False}, {"tokens_per_minute": 400_000}, {"requests_per_minute": 600}]


@pytest.mark.parametrize("quota", QUOTAS)
def test_throttled_calls_are_spaced_as_configured(quota):
    async def main(clock):
        backoff = Backoff(tries=4, base_s=0.5, factor=3.0, jitter_s=0.0, max_delay_s=4.0)
        attempt, made = throttled(9)
        job = Job(input_tokens=10, max_tokens=10, begin_by=clock.now() + 30)
        with pytest.raises(Unavailable) as refused:
            await dispatcher(clock, backoff, **quota).begin(job, attempt(clock))
        assert refused.value.kind == "rate_limited"
        return [after - before - 0.01 for before, after in pairwise(made)]

    assert loop.run(main) == pytest.approx([0.5, 1.5, 4.0], abs=0.02)


@pytest.mark.parametrize("quota", QUOTAS)
def test_the_providers_word_when_to_come_back_is_kept_to(quota):
    async def main(clock):
        attempt, made = throttled(1, retry_after=2.0)
        job = Job(input_tokens=10, max_tokens=10, begin_by=clock.now() + 30)
        here = dispatcher(clock, Backoff(), **quota)
        (await here.begin(job, attempt(clock))).done(CallOutcome.OK)
        return made

    first, second = loop.run(main)
    assert 2.0 <= second - first < 3.0


@pytest.mark.parametrize("quota", [quota for quota in QUOTAS if quota.get("learn", True)])
def test_a_wait_longer_than_is_worth_it_is_handed_on_to_client_and_neighbours(quota):
    async def main(clock):
        attempt, made = throttled(9, retry_after=20.0)
        here = dispatcher(clock, Backoff(), **quota)
        for _ in range(5):
            with pytest.raises(Unavailable) as refused:
                await here.begin(
                    Job(input_tokens=10, max_tokens=10, begin_by=clock.now() + 30), attempt(clock)
                )  # fmt: skip
            assert 14 < refused.value.retry_after < 30
            await clock.sleep(1.0)
        assert clock.now() < 6
        return made

    assert len(loop.run(main)) == 1


def test_no_word_of_a_provider_closes_a_pool_for_longer_than_a_minute():
    async def main(clock):
        attempt, _ = throttled(1, retry_after=86_400.0)
        here = dispatcher(clock, Backoff())
        with pytest.raises(Unavailable):
            await here.begin(Job(input_tokens=10, max_tokens=10, begin_by=clock.now() + 30), attempt(clock))
        await clock.sleep(80)
        (await here.begin(Job(input_tokens=10, max_tokens=10, begin_by=clock.now() + 30), attempt(clock))).done(
            CallOutcome.OK
        )

    loop.run(main)


def test_two_gateways_never_ask_a_refusing_provider_in_step():
    async def main(clock):
        async def probes():
            hold, at = Hold(clock, Backoff()), []
            for _ in range(12):
                await clock.sleep(hold.wait_s())
                at.append(clock.now())
                hold.refused(clock.now())
            return at

        one, other = await asyncio.gather(probes(), probes())
        assert not {round(at, 3) for at in one[3:]} & {round(at, 3) for at in other[3:]}
        assert max(after - before for before, after in pairwise(one)) < 6.5

    loop.run(main)


def test_a_probe_in_a_black_hole_keeps_nobody_from_being_served():
    async def main(clock):
        gate = Gate(clock, [Endpoint("only", clock, breaker=BreakerSpec(failures=2))])
        for _ in range(2):
            (await gate.enter(Job(input_tokens=1, max_tokens=1, begin_by=clock.now() + 30))).done(CallOutcome.FAILED)
        held = None
        while held is None:  # the probe, which never comes back
            try:
                held = await gate.enter(Job(input_tokens=1, max_tokens=1, begin_by=clock.now() + 30))
            except Shed:
                await clock.sleep(0.1)
        began, served = clock.now(), None
        while served is None:
            try:
                leave = await gate.enter(Job(input_tokens=1, max_tokens=1, begin_by=clock.now() + 30))
            except Shed:
                await clock.sleep(0.1)
                continue
            leave.begun()
            leave.done(CallOutcome.OK, Used(1, 1))
            served = clock.now() - began
        assert served < 6
        await gate.enter(Job(input_tokens=1, max_tokens=1, begin_by=clock.now() + 30))

    loop.run(main)


def test_without_learning_one_calls_refusal_says_nothing_to_the_others():
    async def main(clock):
        here = dispatcher(clock, Backoff(), learn=False)
        attempt, made = throttled(1, retry_after=20.0)
        call = attempt(clock)
        with pytest.raises(Unavailable):
            await here.begin(Job(input_tokens=10, max_tokens=10, begin_by=clock.now() + 30), call)
        (await here.begin(Job(input_tokens=10, max_tokens=10, begin_by=clock.now() + 30), call)).done(CallOutcome.OK)
        assert len(made) == 2
        assert clock.now() < 1

    loop.run(main)
