"""What is handed on where it comes is what would be read: through transforms, through flights, up to every end."""

import asyncio

import pytest

from hapenny.core.answer import Answer, EventTransform
from hapenny.core.errors import Failure
from hapenny.core.events import Started, Stopped, TextDelta
from hapenny.core.exchange import Call, Target
from hapenny.core.flight import Flight
from tests.core.house import exchange


class Wire:
    """A source that hands on what a test says."""

    def __init__(self):
        self.come = []
        self.closed = 0
        self.sink = None
        self._news = asyncio.Event()

    def say(self, *batches):
        for batch in batches:
            if self.sink is not None and isinstance(batch, list) and not self.come:
                self.sink(batch)
                continue
            self.come.append(batch)
            self._news.set()
            if self.sink is not None:
                sink, self.sink = self.sink, None
                sink(None)

    def listen(self, sink):
        self.sink = None if self.come else sink
        return self.sink is not None

    async def read(self):
        while not self.come:
            self._news.clear()
            await self._news.wait()
        batch = self.come.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return batch

    def close(self):
        self.closed += 1
        self.sink = None


class Listener:
    """Listens as long as it may, and reads where it has to, as the server does."""

    def __init__(self, answer):
        self.answer = answer
        self.text = ""
        self.over = False
        self.failure = None
        self._task = None

    def begin(self):
        if not self.answer.listen(self.came):
            self._task = asyncio.ensure_future(self._read())

    def stop(self):
        self.answer.listen(None)

    def came(self, batch):
        if batch is None:
            self._task = asyncio.ensure_future(self._read())
        else:
            self._take(batch)

    async def _read(self):
        try:
            while not self.answer.listen(self.came):
                batch = await self.answer.read()
                if batch is None:
                    self.over = True
                    return
                self._take(batch)
        except Failure as failure:
            self.failure = failure

    def _take(self, batch):
        self.text += "".join(event.text for event in batch if isinstance(event, TextDelta))


class NoAs(EventTransform):
    """Drops every "a", and says goodbye."""

    def one(self, event):
        return () if isinstance(event, TextDelta) and event.text == "a" else (event,)

    def end(self, outcome):
        return (TextDelta("bye"),)


def texts(*pieces):
    return [TextDelta(piece) for piece in pieces]


async def settle():
    for _ in range(6):
        await asyncio.sleep(0)


async def test_batches_pass_all_transforms_where_they_come_and_the_end_comes_once():
    wire = Wire()
    answer = Answer(wire, [Started()]).through(NoAs())
    listener = Listener(answer)
    assert not answer.listen(listener.came)  # what was read before it had begun comes first
    assert [type(event) for event in await answer.read()] == [Started]
    listener.begin()
    wire.say(texts("b"))
    wire.say(texts("a"), texts("a", "c"))  # the first leaves nothing, and nobody is told
    assert listener.text == "bc"
    wire.say([Stopped("end_turn")], None)
    await settle()
    assert listener.text == "bcbye"
    assert listener.over
    assert (answer.outcome, wire.closed) == ("complete", 1)
    assert await answer.read() is None
    assert not answer.listen(listener.came)


async def test_a_failure_is_raised_to_who_reads_on_and_ends_the_answer():
    wire = Wire()
    listener = Listener(Answer(wire))
    listener.begin()
    wire.say(texts("x"), Failure("upstream", "it broke"))
    await settle()
    assert listener.text == "x"
    assert listener.failure.kind == "upstream"
    assert (listener.answer.outcome, wire.closed) == ("failed", 1)


async def test_a_transform_that_breaks_ends_the_answer_and_is_told_of_once():
    class Breaks(EventTransform):
        def one(self, event):
            raise Failure("guarded", "not this")

    wire = Wire()
    listener = Listener(Answer(wire).through(Breaks()))
    listener.begin()
    wire.say(texts("x"))
    await settle()
    assert (listener.text, listener.failure.kind, listener.answer.outcome, wire.closed) == ("", "guarded", "failed", 1)
    assert await listener.answer.read() is None


async def test_only_the_time_a_model_is_waited_for_counts_as_its_own():
    there = exchange()

    class Clock:
        t = 10.0

        def now(self):
            return self.t

    clock, wire = Clock(), Wire()
    call = Call("c", Target("m"), "serve", "", there.request, 10.0)
    call.began = 10.0
    listener = Listener(Answer(wire).timed(call, clock))
    listener.begin()
    clock.t = 12.0
    wire.say(texts("x"))
    clock.t = 13.0
    listener.stop()  # the client reads too slowly
    clock.t = 60.0
    listener.begin()
    clock.t = 61.0
    wire.say([Stopped("end_turn")], None)
    await settle()
    assert listener.over
    assert call.waited == pytest.approx(4.0)


async def flight(wire):
    there = exchange()

    async def start():
        return Answer(wire)

    made = Flight(there, start, lambda ended: None)
    return made, await made.join(there), await made.join(exchange())


async def test_one_upstream_serves_who_listens_and_who_reads():
    wire = Wire()
    made, one, two = await flight(wire)
    listener, came = Listener(one), []

    async def reads():
        while (batch := await two.read()) is not None:
            came.extend(batch)

    listener.begin()
    reader = asyncio.create_task(reads())
    wire.say(texts("a"))
    await settle()
    listener.stop()  # from here on the reader drives
    await settle()
    wire.say(texts("b"))
    await settle()
    assert listener.text == "a"
    listener.begin()
    wire.say(texts("c"), [Stopped("end_turn")], None)
    await reader
    await settle()
    assert listener.text == "abc"
    assert listener.over
    assert "".join(event.text for event in came if isinstance(event, TextDelta)) == "abc"
    assert made.over


async def test_an_upstream_is_not_asked_while_nobody_wants_any():
    wire = Wire()
    _, one, two = await flight(wire)
    first, second = Listener(one), Listener(two)
    first.begin()
    second.begin()
    first.stop()
    assert wire.sink  # it is as slow as its fastest reader
    second.stop()
    assert not wire.sink
    wire.say(texts("a"))
    await settle()
    assert first.text == second.text == ""
    second.begin()
    await settle()
    assert (first.text, second.text) == ("", "a")
    wire.say(texts("b"))
    assert second.text == "ab"
    first.begin()
    await settle()
    assert first.text == "ab"
    wire.say(texts("c"))
    assert first.text == second.text == "abc"
    two.close()
    assert not wire.closed
    one.close()
    assert wire.closed


async def test_a_failure_reaches_every_listener_behind_what_came_before():
    wire = Wire()
    _, one, two = await flight(wire)
    first, second = Listener(one), Listener(two)
    first.begin()
    wire.say(texts("a"))
    second.begin()
    wire.say(Failure("upstream", "it broke"))
    await settle()
    for listener in (first, second):
        assert listener.text == "a"
        assert listener.failure.kind == "upstream"


async def test_an_answer_that_grows_too_long_fails_those_who_listen(monkeypatch):
    monkeypatch.setattr("hapenny.core.flight.MAX_BYTES", 1_000)
    wire = Wire()
    made, one, _ = await flight(wire)
    listener = Listener(one)
    listener.begin()
    wire.say(texts("x" * 100), texts("x" * 5_000))
    await settle()
    assert listener.failure.kind == "too_large"
    assert made.over
    assert wire.closed
