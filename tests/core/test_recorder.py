"""One recorder for all who read an answer; what rewrites it gets a recorder of its own behind it."""

from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.answer import Answer, EventTransform, Replay
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    Collector,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    Tokens,
    Usage,
)

EVENTS = [
    Started("1", "m"),
    ThinkingDelta("hm", 0),
    TextDelta("a", 1),
    TextDelta("b", 1),
    TextDelta("c", 2),
    TextDelta("d", 1),
    Stopped("end_turn"),
    Usage(Tokens(input=3, output=2, cache_read=1)),
]


class Shout(EventTransform):
    def one(self, event):
        return (TextDelta(event.text.upper(), event.block),) if isinstance(event, TextDelta) else (event,)


async def test_all_who_ask_read_one_recorder_and_a_rewritten_answer_has_another():
    answer = Answer(Replay(EVENTS))
    first = answer.recorded()
    assert answer.recorded() is first
    answer.through(Shout())
    second = answer.recorded()
    assert second is not first
    await answer.drain()
    assert ("".join(first.output), "".join(second.output)) == ("hmabcd", "hmABCD")


async def test_text_usage_stop_and_the_whole_answer_are_kept():
    answer = Answer(Replay(EVENTS))
    kept, began = answer.recorded(), []
    kept.whole()
    kept.on_begun(lambda: began.append(kept.begun))
    completion = await answer.collect()
    assert completion is kept.completion
    assert [block.text for block in completion.choices[0].content] == ["hm", "abd", "c"]
    assert (kept.tokens.output, kept.cached, kept.stopped, kept.characters) == (2, 1, "end_turn", 6)
    assert began == [True]


async def test_an_answer_that_is_left_has_no_completion():
    answer = Answer(Replay(EVENTS))
    kept = answer.recorded()
    kept.whole()
    answer.close()
    assert kept.completion is None
    assert not kept.seen


FEW = st.sampled_from([0, 0, 0, 1])
OWN = st.sampled_from([{}, {"openai": {"a": 1}}, {"openai": {"b": 2}}, {"openai.usage": {"c": 3}}])
WHOLE = st.tuples(
    st.builds(Started, st.just("1"), st.just("m"), st.just(7.0), extras=OWN),
    st.builds(BlockStarted, FEW, st.sampled_from(["text", "text", "thinking"]), FEW, payload=OWN | st.none()),
    st.builds(TextDelta, st.text(max_size=5), FEW, FEW) | st.builds(ThinkingDelta, st.just("hm"), FEW),
    st.builds(BlockStopped, FEW, FEW),
    st.builds(Stopped, st.sampled_from(["end_turn", "max_tokens"]), FEW, st.none() | st.just("x"), OWN),
    st.builds(Usage, st.just(Tokens(input=3, output=2)), OWN),
)


def collected(events):
    one_by_one = Collector()
    for event in events:
        one_by_one.feed(event)
    return one_by_one.finish()


@given(WHOLE)
def test_an_answer_taken_whole_is_what_its_events_make_one_by_one(events):
    whole = Collector()
    if whole.take(events):
        assert whole.finish() == collected(events)
    else:
        assert whole.completion == Collector().completion


def test_an_answer_of_one_text_is_taken_whole_and_only_at_the_beginning():
    plain = [
        Started("1", "m"), BlockStarted(0, "text"), TextDelta("a", 0), BlockStopped(0), Stopped("end_turn"),
        Usage(Tokens(input=3, output=2)),
    ]  # fmt: skip
    collector = Collector()
    assert collector.take(plain)
    assert not collector.take(plain)
    assert collector.finish() == collected(plain)
    later = Collector()
    later.feed(TextDelta("b", 0))
    assert not later.take(plain)
