"""One upstream, many readers: pace, failure, cancellation and limits, in virtual time."""

import asyncio

import pytest

from hapenny.caching.coalescing import FlightStage
from hapenny.caching.keys import Keys
from hapenny.core import flight as flight_module
from hapenny.core.answer import Answer
from hapenny.core.errors import Failure
from hapenny.core.flight import PIECE_BYTES, Flight
from hapenny.core.messages import Context
from hapenny.core.stage import Pipeline
from hapenny.simulation import loop
from tests.core.house import Asks, Terminal, exchange


def fly(script, seed=1):
    return loop.run(script, seed=seed, limit=3600)


def pipeline(terminal):
    stage = FlightStage(Keys(b"secret"))
    return stage, Pipeline([stage], {"flights": "on"}, terminal, Asks())


async def read(run, there):
    answer = await run(there)
    try:
        return (await answer.collect()).text
    finally:
        there.release()


def test_identical_requests_share_one_call_and_the_starter_pays():
    async def script(clock):
        terminal = Terminal(delay=1.0)
        stage, run = pipeline(terminal)
        exchanges = [exchange(clock=clock) for _ in range(5)]
        texts = await asyncio.gather(*[read(run, there) for there in exchanges])
        assert texts == ["answer"] * 5
        assert len(terminal.seen) == 1
        assert [len(there.calls) for there in exchanges] == [1, 0, 0, 0, 0]
        assert [step.free for there in exchanges[1:] for step in there.steps] == [True] * 4
        assert stage.under_way == 0

    fly(script)


def test_different_tenants_never_share():
    async def script(clock):
        terminal = Terminal(delay=1.0)
        _, run = pipeline(terminal)
        await asyncio.gather(
            *[read(run, exchange(clock=clock, context=Context(tenant=name))) for name in ("a", "b", "a")]
        )
        assert len(terminal.seen) == 2

    fly(script)


def test_the_starter_may_leave_and_the_others_still_get_the_answer():
    async def script(clock):
        terminal = Terminal(delay=1.0)
        _, run = pipeline(terminal)
        first, second = exchange(clock=clock), exchange(clock=clock)
        ended = []
        first.on_end(lambda: ended.append("first"))
        starter = asyncio.create_task(read(run, first))
        await clock.sleep(0.1)
        follower = asyncio.create_task(read(run, second))
        await clock.sleep(0.1)
        starter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starter
        first.release()
        assert ended == []  # its row waits for the call it pays for
        assert await follower == "answer"
        await clock.sleep(0)
        assert first.calls[0].outcome == "complete"
        assert ended == ["first"]

    fly(script)


def test_the_last_reader_to_leave_cancels_the_upstream():
    async def script(clock):
        stage, run = pipeline(Terminal(delay=100.0))
        exchanges = [exchange(clock=clock) for _ in range(3)]
        tasks = [asyncio.create_task(read(run, there)) for there in exchanges]
        await clock.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await clock.sleep(0.001)
        assert exchanges[0].calls[0].outcome == "abandoned"
        assert stage.under_way == 0
        assert clock.now() < 10

    fly(script)


def test_a_failure_fails_every_reader_once():
    async def script(clock):
        terminal = Terminal(delay=1.0, failures=[Failure("overloaded", "no room")])
        _, run = pipeline(terminal)
        results = await asyncio.gather(*[read(run, exchange(clock=clock)) for _ in range(4)], return_exceptions=True)
        assert [getattr(result, "kind", None) for result in results] == ["overloaded"] * 4
        assert len(terminal.seen) == 1
        assert await read(run, exchange(clock=clock)) == "answer"

    fly(script)


def test_a_flight_takes_the_latest_limits_and_the_highest_priority_of_its_readers():
    async def script(clock):
        _, run = pipeline(Terminal(delay=1.0))
        first, second = exchange(clock=clock), exchange(clock=clock, context=Context(tenant="a", priority=7))
        first.limits.shorten(begin_by=clock.now() + 2)
        later = second.limits.begin_by
        await asyncio.gather(read(run, first), read(run, second))
        assert first.limits.begin_by == later
        assert first.context.priority == 7

    fly(script)


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0, 1.5])
def test_no_task_is_left_wherever_the_cancel_comes(moment):
    async def script(clock):
        _, run = pipeline(Terminal(delay=1.0))
        tasks = [asyncio.create_task(read(run, exchange(clock=clock))) for _ in range(3)]
        await clock.sleep(moment)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await clock.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    fly(script)


def pieces(number, size):
    from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage

    deltas = [[TextDelta("x" * size, 0)] for _ in range(number)]
    return [[Started("m", "m")], *deltas, [Stopped("end_turn")], [Usage(Tokens(input=1, output=1))]]


class Counted:
    """A source of batches that counts what was asked of it."""

    def __init__(self, batches):
        self.left = list(batches)
        self.reads = 0
        self.closed = False

    async def read(self):
        self.reads += 1
        await asyncio.sleep(0)
        return self.left.pop(0) if self.left else None

    def close(self):
        self.closed = True


class Held(Counted):
    """One whose batches come when the gate is open."""

    def __init__(self, batches):
        super().__init__(batches)
        self.gate = asyncio.Event()

    async def read(self):
        await self.gate.wait()
        return await super().read()


def shared(clock, source, **rest):
    async def start():
        return Answer(source, **rest)

    return Flight(exchange(clock=clock), start, lambda flight: None)


def test_the_upstream_is_as_slow_as_its_fastest_reader():
    async def script(clock):
        source = Counted(pieces(5_000, 2_000))  # ten megabytes
        flight = shared(clock, source)
        slow, quick = await flight.join(flight.exchange), await flight.join(flight.exchange)
        for _ in range(2_000):
            await asyncio.sleep(0)
        assert source.reads == 0  # nobody has read yet
        for _ in range(500):
            assert await quick.read()
        assert source.reads == 500
        quick.close()
        texts = [event.text for batch in [await slow.read() for _ in range(20)] for event in batch[1:]]
        assert set(map(len, texts)) == {2_000}
        before = source.reads
        while (batch := await slow.read()) is not None:
            assert sum(len(event.text) for event in batch if hasattr(event, "text")) < 4 * PIECE_BYTES
        assert source.reads > before
        slow.close()

    fly(script)


def test_who_gives_up_reading_takes_nobody_along():
    async def script(clock):
        source = Held(pieces(3, 3))
        flight = shared(clock, source)
        first, second = await flight.join(flight.exchange), await flight.join(flight.exchange)
        ahead = asyncio.create_task(first.read())  # reads the upstream for both
        await asyncio.sleep(0)
        behind = asyncio.create_task(second.collect())
        await asyncio.sleep(0)
        ahead.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ahead
        first.close()
        source.gate.set()
        assert (await behind).text == "x" * 9
        assert source.closed

    fly(script)


def test_an_answer_of_many_small_pieces_is_whole_for_every_reader():
    async def script(clock):
        flight = shared(clock, Counted(pieces(100_000, 3)))
        readers = [await flight.join(flight.exchange) for _ in range(2)]
        assert [len((await reader.collect()).text) for reader in readers] == [300_000] * 2

    fly(script)


def test_an_answer_beyond_the_buffer_fails_and_says_so(monkeypatch):
    monkeypatch.setattr(flight_module, "MAX_BYTES", 100_000)

    async def script(clock):
        source = Counted(pieces(1_000, 2_000))
        flight = shared(clock, source)
        reader = await flight.join(flight.exchange)
        with pytest.raises(Failure, match="longer than") as error:
            await reader.collect()
        assert error.value.kind == "too_large"
        assert source.closed

    fly(script)


def test_readers_know_whether_the_first_content_has_come():
    async def script(clock):
        silent = shared(clock, Counted(pieces(3, 3)), begun=False)
        first = await silent.join(silent.exchange)
        assert not first.begun
        await first.read()
        await first.read()
        assert (await silent.join(silent.exchange)).begun

    fly(script)
