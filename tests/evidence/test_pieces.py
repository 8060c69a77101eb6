"""Evidence is cut at the borders of what belongs together."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.evidence.pieces import pieces


@pytest.mark.parametrize(
    "text",
    [
        "one\n\ntwo",
        "<doc>one</doc><doc>two</doc>",
        "<search_results><search_result rank=1>one</search_result>\n<search_result rank=2>two</search_result>"
        "</search_results>",
        "<Snippet>one</Snippet> <Snippet>two</Snippet>",
        "[1] one\n[2] two",
        "1. one\n2. two",
        "Source 1: one\nSource 2: two",
        "# one\n# two",
        "one\n---\ntwo",
        "| one |\n| two |",
        json.dumps(["one", {"n": "two"}]),
        json.dumps({"hits": [{"n": "one"}, {"n": "two"}]}),
        json.dumps([{"hits": [{"n": "one"}, {"n": "two"}]}]),
        '{"n": "one"}\n{"n": "two"}',
        '<result>{"n": "one"}</result>\n<result>{"n": "two"}</result>',
    ],
)
def test_two_pieces_are_two(text):
    first, second = pieces(text)
    assert "one" in first and "two" not in first
    assert "two" in second and "one" not in second


def test_a_section_keeps_what_is_below_it():
    assert len(pieces("# a book\n## price\nnine\n# another\n## price\nten")) == 2


def test_what_stands_beside_a_list_is_with_each_of_its_records():
    first, second = pieces(json.dumps({"shop": "north", "hits": [{"n": 1}, {"n": 2}]}))
    assert "north" in first and "north" in second


@pytest.mark.parametrize("deep", [5, 35, 300])
def test_records_that_lie_deep_are_found_or_left_in_linear_time(deep):
    text = '{"a": ' * deep + '[{"n": "one"}, {"n": "two"}]' + "}" * deep
    assert len(pieces(text)) == (2 if deep < 40 else 1)


def test_json_between_words_is_cut_like_json_alone():
    before, first, second, after = pieces('The tool says: [{"n": "one"}, {"n": "two"}] and that is all.')
    assert before == "The tool says: " and after == " and that is all."
    assert "one" in first and "two" in second


def test_a_record_in_a_sentence_stays_with_it():
    assert pieces('Paper Lantern, volume 3 {"price": 8.4} is sold out.') == [
        'Paper Lantern, volume 3 {"price": 8.4} is sold out.'
    ]


def test_broken_json_is_a_text_like_others():
    assert pieces('{"n": "one",\n\ntwo') == ['{"n": "one",', "two"]


def test_an_object_without_a_list_is_one_piece():
    assert pieces('{"order": "H-1", "state": "shipped", "tags": ["a", "b"]}') == [
        '{"order": "H-1", "state": "shipped", "tags": ["a", "b"]}'
    ]


def test_what_would_be_written_out_over_and_over_is_left_out():
    assert pieces(json.dumps({"about": "x" * 10_000, "rows": [{"n": each} for each in range(1_000)]})) == []


@given(st.text(max_size=400) | st.recursive(st.text(max_size=5), st.lists, max_leaves=20).map(json.dumps))
def test_any_text_is_cut_within_bounds(text):
    assert sum(map(len, pieces(text))) <= 10 * len(text) + 100
