"""An answer owns its upstream and tells every transform how it ended, once."""

import asyncio

import pytest

from hapenny.core.answer import Answer, EventTransform, Replay, Transform, begin
from hapenny.core.errors import Failure
from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage


class Upstream:
    """A source that counts its releases."""

    def __init__(self, batches, error=None, hang=False):
        self.batches = list(batches)
        self.error = error
        self.hang = hang
        self.closed = 0

    async def read(self):
        if self.batches:
            return self.batches.pop(0)
        if self.hang:
            await asyncio.sleep(3600)
        if self.error:
            raise self.error
        return None

    def close(self):
        self.closed += 1


class Watcher(Transform):
    def __init__(self):
        self.seen = []
        self.ends = []

    def flow(self, batch):
        self.seen.extend(batch)
        return batch

    def end(self, outcome):
        self.ends.append(outcome)
        return ()


class Shout(EventTransform):
    def one(self, event):
        return (TextDelta(event.text.upper()),) if isinstance(event, TextDelta) else (event,)

    def end(self, outcome):
        return (Usage(Tokens(output=1)),)


WHOLE = [[Started()], [TextDelta("a"), TextDelta("b")], [Stopped("end_turn")]]


async def test_reading_to_the_end_releases_the_upstream_and_completes():
    upstream, watcher = Upstream(WHOLE), Watcher()
    answer = (await begin(upstream)).through(watcher)
    assert (await answer.collect()).text == "ab"
    assert watcher.ends == ["complete"]
    assert upstream.closed >= 1
    assert await answer.read() is None


async def test_an_answer_nobody_iterates_releases_its_upstream():
    upstream, watcher = Upstream(WHOLE), Watcher()
    answer = (await begin(upstream)).through(watcher)
    await answer.aclose()
    await answer.aclose()
    assert upstream.closed == 1
    assert watcher.ends == ["abandoned"]


async def test_transforms_rewrite_in_order_and_may_add_a_last_event():
    watcher = Watcher()
    answer = (await begin(Upstream(WHOLE))).through(Shout()).through(watcher)
    completion = await answer.collect()
    assert completion.text == "AB"
    assert completion.tokens == Tokens(output=1)
    assert isinstance(watcher.seen[-1], Usage)


async def test_a_failing_upstream_fails_the_answer_once():
    upstream, watcher = Upstream(WHOLE[:2], error=Failure("unavailable", "gone")), Watcher()
    answer = (await begin(upstream)).through(watcher)
    with pytest.raises(Failure, match="gone"):
        await answer.collect()
    answer.close()
    assert watcher.ends == ["failed"]


async def test_a_stream_that_ends_before_content_is_truncated_and_released():
    upstream = Upstream([[Started()]])
    with pytest.raises(Failure) as caught:
        await begin(upstream)
    assert caught.value.kind == "truncated"
    assert upstream.closed == 1


async def test_a_clean_end_without_stop_is_truncated_when_collected():
    with pytest.raises(Failure) as caught:
        await Answer(Replay([TextDelta("half")])).collect()
    assert caught.value.kind == "truncated"


class Strict(Watcher):
    """Refuses an answer at its end, as the books do where it never stopped."""

    def end(self, outcome):
        super().end(outcome)
        raise Failure("truncated", "the answer never stopped")


@pytest.mark.parametrize("places", [(0, 1), (1, 0)])
async def test_what_refuses_an_answer_at_its_end_leaves_nobody_waiting(places):
    upstream, strict, watcher = Upstream(WHOLE[:2]), Strict(), Watcher()
    transforms = [(strict, watcher)[place] for place in places]
    answer = Answer(upstream)
    for transform in transforms:
        answer = answer.through(transform)
    with pytest.raises(Failure, match="never stopped"):
        await answer.collect()
    answer.close()
    assert (strict.ends, watcher.ends) == (["complete"], ["failed"] if places == (0, 1) else ["complete"])
    assert (answer.outcome, upstream.closed) == ("failed", 1)


@pytest.mark.parametrize("batches", [WHOLE[:1], WHOLE[:2]])
async def test_cancelling_at_any_point_releases(batches):
    upstream, watcher = Upstream(batches, hang=True), Watcher()

    async def reads():
        answer = (await begin(upstream)).through(watcher)
        await answer.collect()

    task = asyncio.create_task(reads())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert upstream.closed >= 1
    assert watcher.ends in ([], ["abandoned"])


async def test_begun_means_content_not_the_start_of_a_message():
    upstream = Upstream([[Started()], [Started()]], hang=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(begin(upstream), 0.02)
    assert upstream.closed == 1


async def test_leaving_a_loop_over_events_early_releases():
    upstream = Upstream(WHOLE)
    answer = await begin(upstream)
    events = answer.__aiter__()
    async for event in events:
        if isinstance(event, TextDelta):
            break
    await events.aclose()
    assert upstream.closed == 1


class Late(Upstream):
    """A source whose batches each wait for the one before to be asked for long enough."""

    def __init__(self, batches, pauses):
        super().__init__(batches)
        self.pauses = list(pauses)

    async def read(self):
        while self.pauses and self.pauses[0] > 0:
            await asyncio.sleep(0.01)
            self.pauses[0] -= 0.01
        if self.pauses:
            self.pauses.pop(0)
        return await super().read()


async def test_a_silent_stream_counts_as_begun_and_loses_nothing():
    upstream = Late(WHOLE, [0, 0.1, 0])
    answer = await begin(upstream, 0.03)
    assert not answer.begun
    assert upstream.closed == 0
    watcher = Watcher()
    assert (await answer.through(watcher).collect()).text == "ab"
    assert watcher.seen == [event for batch in WHOLE for event in batch]
    assert (await begin(Upstream(WHOLE), 0.03)).begun


async def test_a_stream_that_breaks_in_its_silence_fails_before_anything_is_told():
    upstream = Upstream([[Started()]], error=Failure("overloaded", "busy"))
    with pytest.raises(Failure, match="busy"):
        await begin(upstream, 5)
    assert upstream.closed == 1


async def test_whoever_leaves_during_the_silence_takes_the_upstream_along():
    upstream = Upstream([[Started()]], hang=True)
    task = asyncio.create_task(begin(upstream, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert upstream.closed == 1
