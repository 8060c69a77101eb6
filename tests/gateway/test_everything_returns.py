"""Whatever an answer does, what it held comes back: places, reservations, upstreams, rows.

Answers here fail at any point, end without a stop, never end, are left, cancelled at any await, or meet transforms that
raise, in a whole gateway in virtual time. Afterwards it must be as it was: nobody in flight, no ticket and no upstream
open, a row a request.
"""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hapenny.config import load
from hapenny.core.answer import Transform
from hapenny.core.errors import Failure
from hapenny.core.events import BlockStarted, BlockStopped, Started, Stopped, TextDelta, Tokens, Usage
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
CONFIG = """
backends: {aws: {kind: simulated}, other: {kind: simulated}}
models: {haiku: {id: HAIKU, backend: aws, region: us-east-1}}
tiers: {strong: haiku}
routes: {default: {holdout: 0, preset: balanced, begin_s: 20, finish_s: 40}}
ledger: null
stages:
  semantic: {embedder: hashed}
  throughput:
    gate: {patience_s: 10}
    hedge: {samples: 1, cost_share: 0.5, spare: 0.0}
    models:
      HAIKU:
        hedge: true
        quota: {tokens_per_minute: 100000, requests_per_minute: 1000}
        endpoints:
          - {name: one, backend: aws, limit: {kind: fixed, initial: 2}}
          - {name: two, backend: other, limit: {kind: fixed, initial: 2}}
""".replace("HAIKU", HAIKU)
LOADED = load(text=CONFIG)

WHOLE = [
    Started("msg_1", HAIKU),
    BlockStarted(0, "text"),
    TextDelta("Half a ", 0),
    TextDelta("penny.", 0),
    BlockStopped(0),
    Stopped("end_turn"),
    Usage(Tokens(input=12, output=5)),
]


class Boom(Exception):
    """Somebody's bug."""


class Provider:
    """Plays one script a call: wait, refuse or accept, so many events at a pace, then an end of some kind."""

    name = "nasty"

    def __init__(self, clock, scripts):
        self.clock, self.scripts, self.open, self.calls = clock, scripts, 0, 0

    async def call(self, request, target, limits):
        accept_s, count, pace_s, end = self.scripts[self.calls % len(self.scripts)]
        self.calls += 1
        await self.clock.sleep(accept_s)
        if end == "refuse":
            raise Failure("overloaded", "busy")
        if end == "throttle":
            raise Failure("rate_limited", "slow down", retry_after=0.2)
        if end == "bug":
            raise Boom
        self.open += 1
        return Stream(self, WHOLE[:count] if end != "good" else WHOLE, pace_s, end)

    def notes(self, request, target):
        return []

    async def count(self, request, target):
        return None

    async def aclose(self):
        pass


class Stream:
    def __init__(self, provider, events, pace_s, end):
        self.provider, self.events, self.pace_s, self.end, self.closed = provider, list(events), pace_s, end, False

    async def read(self):
        await self.provider.clock.sleep(self.pace_s)
        if self.events:
            return [self.events.pop(0)]
        if self.end == "silent":
            await self.provider.clock.sleep(1e6)
        if self.end == "fails":
            raise Failure("upstream", "an error in the middle")
        if self.end == "breaks":
            raise Boom
        return None

    def close(self):
        if not self.closed:
            self.closed = True
            self.provider.open -= 1


class Raising(Transform):
    """Raises with the batch of that number, or when the answer ends."""

    def __init__(self, at):
        self.left = at

    def flow(self, batch):
        self.left -= 1
        if self.left == 0:
            raise Boom
        return batch

    def end(self, outcome):
        if self.left > 0:
            raise Boom
        return ()


scripts = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.01, 3.0, 30.0]),
        st.integers(0, len(WHOLE)),
        st.sampled_from([0.0, 0.01, 2.0]),
        st.sampled_from(
            ["good", "good", "cut", "fails", "breaks", "silent", "refuse", "throttle", "bug"],
        ),
    ),
    min_size=1,
    max_size=4,
)
requests = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.sampled_from(["Who pays?", "Who pays?", "How much?"]),
            "temperature": st.sampled_from([0.0, None]),
            "stream": st.booleans(),
            "priority": st.sampled_from([-1, 0, 5]),
            "after": st.sampled_from([0.0, 0.0, 0.005, 1.0]),
            "raises": st.sampled_from([0, 0, 0, 1, 3, 50]),
            "reads": st.sampled_from([1, 2, 100, 100]),
            "cancel": st.one_of(st.none(), st.tuples(st.integers(0, 80), st.sampled_from([0.0, 0.004, 1.5]))),
        }
    ),
    min_size=1,
    max_size=6,
)


async def client(gateway, clock, asked, rows):
    await clock.sleep(asked["after"])
    request = Request(
        protocol="openai",
        model="haiku",
        messages=(Message("user", (Text(asked["text"]),)),),
        parameters=Parameters(temperature=asked["temperature"], max_tokens=200),
        stream=asked["stream"],
    )
    exchange = gateway.open(request, Context(priority=asked["priority"]))
    rows["open"] += 1
    answer = None
    try:
        answer = await gateway.answer(exchange)
        if asked["raises"]:
            answer.through(Raising(asked["raises"]))
        for _ in range(asked["reads"]):
            if await answer.read() is None:
                break
    except (Failure, Boom):
        pass
    finally:
        if answer is not None:
            answer.close()
        gateway.close(exchange)


async def play(clock, scripts, asked):
    providers = {"aws": Provider(clock, scripts), "other": Provider(clock, scripts[::-1])}
    gateway = Gateway(LOADED, clock=clock, backends=providers)
    rows = {"open": 0, "written": 0}

    def written(exchange, row):
        rows["written"] += not exchange.background

    gateway.parts.exchanges.observe(written)
    try:
        tasks = []
        for each in asked:
            task = asyncio.ensure_future(client(gateway, clock, each, rows))
            tasks.append(task)
            if each["cancel"] is not None:
                turns, seconds = each["cancel"]
                for _ in range(turns):
                    await asyncio.sleep(0)
                await clock.sleep(seconds)
                task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            assert task.cancelled() or task.exception() is None, repr(task.exception())
        await clock.sleep(120)
        await gateway.settled()
        assert rows["written"] == rows["open"]
        assert {name: provider.open for name, provider in providers.items()} == {"aws": 0, "other": 0}
        for route in gateway.parts.dispatchers.routes().values():
            gate = route.dispatcher.gate
            assert [endpoint.inflight for endpoint in gate.endpoints] == [0, 0]
            assert (len(gate.queue), gate.unbegun) == (0, {})
        await clock.sleep(1_000)
        assert await gateway.shared.counters.expire() == 0  # no ticket was left open
        assert gateway.books.violations == 0
    finally:
        await gateway.aclose()
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert left == []


def run(scripts, asked):
    loop.run(lambda clock: play(clock, scripts, asked))


RULES = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}


@settings(max_examples=150, **RULES)
@given(scripts, requests)
def test_everything_is_given_back(scripts, asked):
    run(scripts, asked)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=3_000, **RULES)
@given(scripts, requests)
def test_everything_is_given_back_often(scripts, asked):
    run(scripts, asked)


ONE = {"text": "Who pays?", "temperature": 0.0, "stream": True, "priority": 0, "after": 0.0, "raises": 0, "reads": 100}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("temperature", [0.0, None])
def test_a_cancel_at_every_await_gives_everything_back(stream, temperature):
    asked = ONE | {"stream": stream, "temperature": temperature}
    for turns in range(0, 90, 3):
        run([(0.0, 7, 0.0, "good")], [asked | {"cancel": (turns, 0.0)}, asked | {"cancel": None, "after": 0.0}])
    for seconds in (0.001, 0.011, 0.021, 0.031, 0.041, 0.06):
        run([(0.01, 7, 0.01, "good")], [asked | {"cancel": (0, seconds)}])
