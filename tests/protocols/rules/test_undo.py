"""What is undone in an answer, for every cut of its stream: the client gets the same text, names and ids."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.errors import Failure
from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    Collector,
    Started,
    Stopped,
    TextDelta,
    Tokens,
    ToolCallDelta,
    Usage,
)
from hapenny.protocols.rules.undo import OneObject, Renamed, Spoken, StopsHere, Undo
from tests.protocols.samples import tool_answer


def collected(events):
    collector = Collector()
    for event in events:
        collector.feed(event)
    return collector.finish()


def answer(*pieces, reason="end_turn"):
    deltas = [TextDelta(piece, 0) for piece in pieces]
    return [
        Started("m", "x"), BlockStarted(0, "text"), *deltas, BlockStopped(0), Stopped(reason), Usage(Tokens(output=1)),
    ]  # fmt: skip


def played(transform, events):
    """The events one by one, as they stream."""
    undo = Undo([transform])
    return [after for event in events for after in undo.flow([event])]


def text(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def cuts(whole):
    """Every way to send a text in up to four pieces."""
    return st.lists(st.integers(0, len(whole)), max_size=3).map(
        lambda places: [whole[a:b] for a, b in zip([0, *sorted(places)], [*sorted(places), len(whole)], strict=True)]
    )


def test_names_and_ids_are_given_back_and_frames_of_other_events_stay():
    events = [*tool_answer()]
    events[2] = TextDelta("Let me look.", raw=b"data: x")
    out = played(Renamed({"weather": "get.the weather"}, {"call_a": "mine:1"}), events)
    calls = [event for event in out if isinstance(event, BlockStarted) and event.kind == "tool_use"]
    assert [(call.name, call.id) for call in calls] == [("get.the weather", "mine:1"), ("get.the weather", "call_b")]
    assert out[2] is events[2]
    assert all(call.raw is None for call in calls)


def test_a_tools_input_is_told_as_text():
    events = [
        Started("m", "x"), BlockStarted(0, "tool_use", 0, "c", "give"), ToolCallDelta('{"a":', 0),
        ToolCallDelta("1}", 0), BlockStopped(0), Stopped("tool_use"), Usage(Tokens(output=1)),
    ]  # fmt: skip
    out = played(Spoken("give"), events)
    assert text(out) == '{"a":1}'
    assert collected(out).reason == "end_turn"
    other = played(Spoken("give"), tool_answer())
    assert other == tool_answer()


OBJECT = '{"a": "}{\\"", "b": {"c": [1, {}]}}'
AROUND = ["%s", "```json\n%s\n```", "Sure, here it is:\n%s\nAnything else?", '%s\n\n{"second": 1}']


@given(st.data())
def test_one_object_is_cut_out_of_words_and_fences(data):
    pieces = data.draw(cuts(data.draw(st.sampled_from(AROUND)) % OBJECT))
    out = played(OneObject(), answer(*pieces))
    assert json.loads(text(out)) == json.loads(OBJECT)
    assert collected(out).reason == "end_turn"


@given(cuts(OBJECT[1:]))
def test_a_begun_object_gets_its_brace_once(pieces):
    assert text(played(OneObject(begun=True), answer(*pieces))) == OBJECT


@given(cuts("\n" + OBJECT))
def test_a_model_that_begins_anew_is_understood(pieces):
    assert json.loads(text(played(OneObject(begun=True), answer(*pieces)))) == json.loads(OBJECT)


@pytest.mark.parametrize("said", ["I cannot do that.", "", "{not json}", '{"a": 1'])
def test_an_answer_without_an_object_fails(said):
    with pytest.raises(Failure) as caught:
        played(OneObject(), answer(said))
    assert caught.value.kind == "upstream"
    assert caught.value.field == "response_format"


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "content_filtered"])
def test_an_answer_that_was_cut_off_is_passed_on(reason):
    assert text(played(OneObject(), answer('{"a": 1', reason=reason))) == '{"a": 1'
    assert text(played(OneObject(), answer("I will not.", reason=reason))) == "I will not."


@given(cuts("one two\n\nthree END four"))
def test_text_ends_at_the_first_stop_sequence(pieces):
    out = played(StopsHere(("END", "\n\n", "never")), answer(*pieces))
    whole = collected(out)
    assert text(out) == "one two"
    assert (whole.reason, whole.choices[0].sequence) == ("stop_sequence", "\n\n")
    assert whole.tokens.output == 1


@given(cuts("nothing stops here EN"))
def test_text_without_a_stop_sequence_comes_whole(pieces):
    out = played(StopsHere(("END",)), answer(*pieces))
    assert text(out) == "nothing stops here EN"
    assert collected(out).reason == "end_turn"
    blocks = [type(event) for event in out]
    assert blocks.index(BlockStopped) > max(n for n, kind in enumerate(blocks) if kind is TextDelta)


def test_nothing_follows_a_stop_sequence():
    events = [
        Started("m", "x"), BlockStarted(0, "text"), TextDelta("a STOP b", 0), BlockStopped(0),
        BlockStarted(1, "tool_use", 0, "c", "f"), ToolCallDelta("{}", 1), BlockStopped(1),
        BlockStarted(2, "text"), TextDelta("c", 2), BlockStopped(2), Stopped("tool_use"), Usage(Tokens(output=9)),
    ]  # fmt: skip
    whole = collected(played(StopsHere(("STOP",)), events))
    assert [type(block).__name__ for block in whole.choices[0].content] == ["Text"]
    assert whole.choices[0].content[0].text == "a "
    assert whole.reason == "stop_sequence"


def test_choices_are_watched_apart():
    events = [
        Started("m", "x"), BlockStarted(0, "text", 0), BlockStarted(0, "text", 1), TextDelta("a S", 0, 0),
        TextDelta("b S", 0, 1), TextDelta("TOP x", 0, 0), TextDelta("ORRY", 0, 1), BlockStopped(0, 0),
        BlockStopped(0, 1), Stopped("end_turn", 0), Stopped("end_turn", 1), Usage(Tokens(output=9)),
    ]  # fmt: skip
    out = played(StopsHere(("STOP",)), events)
    assert "".join(e.text for e in out if isinstance(e, TextDelta) and e.choice == 0) == "a "
    assert "".join(e.text for e in out if isinstance(e, TextDelta) and e.choice == 1) == "b SORRY"
