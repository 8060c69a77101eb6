"""One recorder for all who read an answer; what rewrites it gets a recorder of its own behind it."""

from hapenny.core.answer import Answer, EventTransform, Replay
from hapenny.core.events import Started, Stopped, TextDelta, ThinkingDelta, Tokens, Usage

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
