"""What is taken where it comes is what would have been read: through transforms, through flights, up to every end."""

import asyncio

import pytest

from hapenny.core.answer import Answer, EventTransform
from hapenny.core.errors import Failure
from hapenny.core.events import Started, Stopped, TextDelta
from hapenny.core.exchange import Call, Target
from hapenny.core.flight import Flight
from tests.core.house import exchange


class Wire:
    """A prompt source whose batches, end and failure a test says."""

    prompt = True

    def __init__(self):
        self.come = []
        self.closed = 0
        self._call = None
        self._news = asyncio.Event()

    def say(self, *batches):
        self.come.extend(batches)
        self._news.set()
        if self._call is not None:
            self._call()

    def wake(self, call):
        self._call = call

    @property
    def wanted(self):
        return self._call is not None

    def take(self):
        if not self.come:
            return ()
        batch = self.come.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return batch

    async def read(self):
        while not self.come:
            self._news.clear()
            await self._news.wait()
        return self.take()

    def close(self):
        self.closed += 1
        self._call = None


class Taker:
    """Takes whatever comes, as the server does."""

    def __init__(self, answer):
        self.answer = answer
        self.batches = []
        self.over = False
        self.failure = None

    def begin(self):
        self.answer.wake(self.more)
        self.more()

    def stop(self):
        self.answer.wake(None)

    def more(self):
        try:
            while batch := self.answer.take():
                self.batches.append(list(batch))
            self.over = batch is None
        except Failure as failure:
            self.failure = failure

    @property
    def text(self):
        return "".join(event.text for batch in self.batches for event in batch if isinstance(event, TextDelta))


class NoAs(EventTransform):
    """Drops every "a", and says goodbye."""

    def one(self, event):
        return () if isinstance(event, TextDelta) and event.text == "a" else (event,)

    def end(self, outcome):
        return (TextDelta("bye"),)


def texts(*pieces):
    return [TextDelta(piece) for piece in pieces]


async def test_batches_pass_all_transforms_where_they_come_and_the_end_comes_once():
    wire = Wire()
    answer = Answer(wire, [Started()]).through(NoAs())
    assert not answer.prompt  # what was read before it had begun comes first
    assert [type(event) for event in await answer.read()] == [Started]
    taker = Taker(answer)
    assert answer.prompt
    taker.begin()
    wire.say(texts("b"))
    wire.say(texts("a"), texts("a", "c"))  # the first leaves nothing: the second is taken all the same
    assert taker.text == "bc"
    wire.say([Stopped("end_turn")], None)
    assert taker.text == "bcbye"
    assert taker.over
    assert (answer.outcome, wire.closed) == ("complete", 1)
    assert await answer.read() is None


async def test_a_failure_is_raised_to_whoever_takes_and_ends_the_answer():
    wire = Wire()
    taker = Taker(Answer(wire))
    taker.begin()
    wire.say(texts("x"), Failure("upstream", "it broke"))
    assert taker.text == "x"
    assert taker.failure.kind == "upstream"
    assert (taker.answer.outcome, wire.closed) == ("failed", 1)


async def test_only_the_time_a_model_is_waited_for_counts_as_its_own():
    there = exchange()

    class Clock:
        t = 10.0

        def now(self):
            return self.t

    clock, wire = Clock(), Wire()
    call = Call("c", Target("m"), "serve", "", there.request, 10.0)
    call.began = 10.0
    taker = Taker(Answer(wire).timed(call, clock))
    taker.begin()
    clock.t = 12.0
    wire.say(texts("x"))
    clock.t = 13.0
    taker.stop()  # the client reads too slowly
    clock.t = 60.0
    taker.begin()
    clock.t = 61.0
    wire.say([Stopped("end_turn")], None)
    assert taker.over
    assert call.waited == pytest.approx(4.0)


async def flight(wire):
    there = exchange()

    async def start():
        return Answer(wire)

    made = Flight(there, start, lambda ended: None)
    return made, await made.join(there), await made.join(exchange())


async def test_one_upstream_serves_who_takes_and_who_reads():
    wire = Wire()
    made, one, two = await flight(wire)
    taker, came = Taker(one), []

    async def reads():
        while (batch := await two.read()) is not None:
            came.extend(batch)

    taker.begin()
    reader = asyncio.create_task(reads())
    wire.say(texts("a"))
    await asyncio.sleep(0)
    taker.stop()  # from here on the reader drives
    await asyncio.sleep(0)
    wire.say(texts("b"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert taker.text == "a"
    taker.begin()
    assert taker.text == "ab"
    wire.say(texts("c"), [Stopped("end_turn")], None)
    await reader
    assert taker.text == "abc"
    assert taker.over
    assert "".join(event.text for event in came if isinstance(event, TextDelta)) == "abc"
    assert made.over


async def test_an_upstream_is_not_asked_while_nobody_wants_any():
    wire = Wire()
    _, one, two = await flight(wire)
    first, second = Taker(one), Taker(two)
    first.begin()
    second.begin()
    first.stop()
    assert wire.wanted  # it is as slow as its fastest reader
    second.stop()
    assert not wire.wanted
    wire.say(texts("a"))
    assert first.text == second.text == ""
    second.begin()
    await asyncio.sleep(0)
    assert (first.text, second.text) == ("", "a")
    two.close()
    assert not wire.closed
    one.close()
    assert wire.closed


async def test_a_failure_reaches_every_taker_behind_what_came_before():
    wire = Wire()
    _, one, two = await flight(wire)
    first, second = Taker(one), Taker(two)
    first.begin()
    wire.say(texts("a"), Failure("upstream", "it broke"))
    second.begin()
    for taker in (first, second):
        assert taker.text == "a"
        assert taker.failure.kind == "upstream"
