"""Texts are cut between sentences, rows and records, and nowhere else."""

import json

from hypothesis import given
from hypothesis import strategies as st

from hapenny.tokens.segments import cut_units, json_records, sentences, units


@given(st.text("Aa .!?\n。\"'1)(「」", max_size=80))
def test_units_give_the_text_again(text: str) -> None:
    assert "".join(units(text)) == text
    assert "".join(sentences(text)) == text


def test_abbreviations_and_numbers_do_not_end_a_sentence() -> None:
    text = "Dr. Smith paid $3.50 in the U.S. Senate. He left at 5 p.m. sharp! Why? Nobody knows."
    assert [part.strip() for part in sentences(text)] == [
        "Dr. Smith paid $3.50 in the U.S. Senate.",
        "He left at 5 p.m. sharp!",
        "Why?",
        "Nobody knows.",
    ]


def test_japanese_and_vietnamese() -> None:
    assert sentences("梅雨は雨季である。5月から7月にかけて来る。") == ["梅雨は雨季である。", "5月から7月にかけて来る。"]
    text = "Đội thủ chỉ thua 308 điểm. Ông đã ném bóng hai lần."
    assert len(sentences(text)) == 2


def test_a_table_keeps_its_head_and_a_list_its_items() -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n"
    cut, frame, pinned = cut_units(table)
    assert (len(cut), frame, pinned) == (4, ("", "", ""), 2)
    assert units("- one\n- two\n") == ["- one\n", "- two\n"]


def test_records_are_cut_as_they_stand() -> None:
    text = '[ {"a": "x],[y", "n": 1.50}, {"a": "z"} ]'
    cut, frame, _ = cut_units(text)
    assert cut == ['{"a": "x],[y", "n": 1.50}', '{"a": "z"}']
    before, between, after = frame
    assert json.loads(before + between.join(cut) + after) == json.loads(text)
    assert json_records('["only one"]') is None
    assert json_records("[1, 2") is None
