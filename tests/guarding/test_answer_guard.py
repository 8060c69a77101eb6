"""Answers on their way out: text, tool calls, reasoning, and the end of what is stopped."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Collector,
    Other,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    Tokens,
    ToolCallDelta,
    Usage,
    begins,
)
from tests.guarding.house import guarded, pieces

MAIL = "Write to sato@example.jp or call 090-1234-5678 today."
CLEAN = "Write to [EMAIL] or call [PHONE] today."
ARGUMENTS = json.dumps({"to": "sato@example.jp", "card_number": 4111111111111111, "note": "call 090-1234-5678", "n": 3})


def collected(events):
    collector = Collector()
    for event in events:
        collector.feed(event)
    return collector.finish()


def answer(text_parts, argument_parts):
    return [
        Started("m", "model", tokens=Tokens(input=9)),
        BlockStarted(0, "text"),
        *[TextDelta(part, 0) for part in text_parts],
        BlockStopped(0),
        BlockStarted(1, "tool_use", id="t", name="send"),
        *[ToolCallDelta(part, 1) for part in argument_parts],
        BlockStopped(1),
        Stopped("tool_use"),
        Usage(Tokens(input=9, output=20)),
    ]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, len(MAIL))), st.sets(st.integers(0, len(ARGUMENTS))), st.integers(1, 9))
def test_text_and_arguments_are_the_same_however_they_come(cuts, more_cuts, batch):
    events = answer(pieces(MAIL, cuts), pieces(ARGUMENTS, more_cuts))
    out, guard = guarded([events[at : at + batch] for at in range(0, len(events), batch)])
    done = collected(out)
    text, call = done.choices[0].content
    assert text.text == CLEAN
    wanted = {"to": "[EMAIL]", "card_number": "[CARD]", "note": "call [PHONE]", "n": 3}
    assert json.loads(call.arguments) == wanted
    assert (done.reason, done.tokens.output) == ("tool_use", 20)
    assert guard.tally == {"redacted email": 2, "redacted phone": 2, "redacted card": 1}


def test_arguments_that_hold_nothing_stay_as_they_were_written():
    written = '{"title" :  "Tide of Cranes", "n":1.50}'
    out, _ = guarded([answer(["Hm."], [written[:9], written[9:]])])
    assert collected(out).choices[0].content[1].arguments == written


def test_events_that_nothing_is_done_about_keep_their_frames():
    events = [TextDelta("Half a penny. ", 0, raw=b"frame"), Stopped("end_turn", raw=b"end")]
    assert guarded([events])[0] == events


def test_held_text_goes_out_before_the_answer_stops():
    out, _ = guarded([[TextDelta("Call 090-1234-", 0)], [TextDelta("5678", 0)], [Stopped("end_turn"), Usage(Tokens())]])
    assert [type(event) for event in out] == [TextDelta, TextDelta, Stopped, Usage]
    assert [event.text for event in out[:2]] == ["Call ", "[PHONE]"]


@pytest.mark.parametrize("parts", [["pay 4111 1111 1111 1111 now"], ["pay 4111 1111", " 1111 1111 now", " or later"]])
def test_a_blocked_answer_ends_in_good_order(parts):
    events = [Started("m", "model"), BlockStarted(0, "text"), *[TextDelta(part, 0) for part in parts]]
    out, guard = guarded([[event] for event in events], items={"card": "block"}, message="Not here.")
    done = collected(out)
    assert done.text == "pay \nNot here."
    assert done.reason == "guardrail"
    assert done.tokens is not None
    assert guard.stopped
    opened = [event.block for event in out if isinstance(event, BlockStarted)]
    assert [event.block for event in out if isinstance(event, BlockStopped)] == opened


def test_a_tool_call_that_is_blocked_is_never_begun():
    out, _ = guarded([answer(["Let me see. "], [ARGUMENTS])], items={"card": "block"}, message="No.")
    assert not any(isinstance(event, ToolCallDelta) for event in out)
    assert [event.kind for event in out if isinstance(event, BlockStarted)] == ["text", "text"]
    assert collected(out).reason == "guardrail"


def test_signed_reasoning_is_dropped_whole_and_later_blocks_move_up():
    def thinking(text):
        return [
            BlockStarted(0, "thinking"), ThinkingDelta(text, 0), SignatureDelta("c2ln", 0), BlockStopped(0),
            BlockStarted(1, "text"), TextDelta("Yes. ", 1), BlockStopped(1), Stopped("end_turn"),
        ]  # fmt: skip

    kept, _ = guarded([thinking("Half a penny.")])
    assert kept == thinking("Half a penny.")
    out, guard = guarded([thinking("her card is 4111 1111 1111 1111")])
    assert not any(isinstance(event, ThinkingDelta | SignatureDelta) for event in out)
    assert [(type(event), event.block) for event in out[:-1]] == [(BlockStarted, 0), (TextDelta, 0), (BlockStopped, 0)]
    assert guard.changed


def test_what_is_passed_on_unread_is_redacted_too():
    cited = {"cited_text": "mail sato@example.jp", "start": 4}
    out, _ = guarded([[CitationDelta(cited, 0, raw=b"x"), Other({"memo": "090-1234-5678"}, "k", b"y")]])
    assert out == [CitationDelta({"cited_text": "mail [EMAIL]", "start": 4}, 0), Other({"memo": "[PHONE]"}, "k")]


@pytest.mark.parametrize("cut", [1, 3, 30])
def test_a_long_answer_is_cut_where_it_may_not_go_on(cut):
    text = "The bridge was built of iron. " * 3
    parts = [text[at : at + cut] for at in range(0, len(text), cut)]
    out, guard = guarded([[TextDelta(part, 0)] for part in parts], most=40)
    done = collected(out)
    assert (done.text, done.reason) == (text[:40], "max_tokens")
    assert guard.stopped


def test_every_alternative_ends_where_one_is_blocked():
    out, _ = guarded([[TextDelta("fine ", 0, 0), TextDelta("4111 1111 1111 1111 ", 0, 1)]], items={"card": "block"})
    assert sorted(event.choice for event in out if isinstance(event, Stopped)) == [0, 1]
    assert any(begins(event) for event in out)
