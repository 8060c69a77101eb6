"""A text that comes in pieces is redacted as the whole would be, for every way of cutting it."""

import pytest
from benchmarks.guardrails.labelled import read
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guarding.house import pieces, streamed, whole

LINES = [line.text for half in ("development", "kept_apart") for line in read(half)]
DENIED = {"shares": ["không chia sẻ", "buy * shares"], "refunds": ["返金先"]}
RULES = [
    {},
    {"style": "mask"},
    {"items": {"all": "redact", "address": "redact", "person": "redact"}},
    {"items": {"all": "redact", "card": "block"}, "topics": DENIED},
]
NUMBERS = st.text("0123456789 +-().ー@:ABDEGsk_ａ４１９\n\u200b\u0301é鍵", max_size=80)
TEXTS = st.lists(st.sampled_from(LINES) | NUMBERS, min_size=1, max_size=4).map(" ".join)


@pytest.mark.parametrize("rules", RULES, ids=["placeholder", "mask", "names", "block"])
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_the_pieces_joined_are_the_redaction_of_the_whole(rules, data):
    text = data.draw(TEXTS)
    cuts = data.draw(st.sets(st.integers(0, len(text)), max_size=40))
    assert streamed(pieces(text, cuts), **rules) == whole(text, **rules)


def test_two_blanks_behind_a_number_make_no_house_number_however_the_text_is_cut():
    text = "0  Giao đến số 8 ngõ 120 Trường Chinh, Đống Đa, Hà Nội."
    assert whole(text, **RULES[2]) == ("0  Giao đến [ADDRESS].", "")
    for cut in range(len(text)):
        assert streamed(pieces(text, {cut}), **RULES[2]) == whole(text, **RULES[2])


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_so_they_are_character_by_character(text):
    assert streamed(list(text)) == whole(text)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(400, 700), st.sampled_from(LINES), st.integers(1, 9), st.sampled_from(["half a penny ", "Yên ", "橋は"])
)
def test_an_item_behind_long_plain_text_is_redacted_like_any_other(length, line, size, words):
    text = (words * length)[:length] + line + words * 60 + line
    assert streamed([text[at : at + size] for at in range(0, len(text), size)]) == whole(text)


def test_words_go_out_as_soon_as_they_are_written():
    from hapenny.guarding.policy import Policy
    from hapenny.guarding.streaming import Tally, TextStream

    stream = TextStream(Policy({"all": "redact"}, {"a": ["buy * shares"]}), Tally())
    assert stream.feed("The toll is half a penny, ") == "The toll is half a penny, "
    assert stream.feed("call 03-1234") == "call "
    assert stream.feed("-5678 now ") == "[PHONE] now "
    assert stream.feed("橋は九時に開きます。") == "橋は九時に開きます。"
    assert stream.feed("We buy ") == "We "  # it may become a denied phrase
    assert stream.feed("bread and milk and salt and wine and oil and cheese. ").startswith("buy bread")


def test_a_number_that_never_ends_is_not_held_for_ever():
    from hapenny.guarding.policy import Policy
    from hapenny.guarding.streaming import Tally, TextStream

    stream = TextStream(Policy({"all": "redact"}), Tally())
    for _ in range(2_000):
        stream.feed("12 34 56 ")
    assert stream.held < 200


def test_nothing_goes_out_behind_a_blocked_place():
    rules = {"items": {"card": "block"}}
    assert streamed(["pay 4111 1111 ", "1111 1111 now", " please"], **rules) == ("pay ", "card")
