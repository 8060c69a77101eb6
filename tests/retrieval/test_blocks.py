import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.retrieval.blocks import units
from hapenny.retrieval.chunking import Chunking, chunk, estimate
from hapenny.retrieval.documents import Document

SMALL = Chunking(size=40, overlap=8)


def texts(text, how=SMALL):
    return [piece.text for piece in chunk(Document(id="d", text=text), how)]


def test_a_table_over_several_chunks_repeats_its_head_and_keeps_rows_as_lines():
    rows = [f"| P-{n:03d} | {n} | shelf {n} |" for n in range(30)]
    made = texts("Before it.\n\n| part | pieces | place |\n|---|:-:|---|\n" + "\n".join(rows) + "\n\nAfter it.")
    of_table = [text for text in made if "P-" in text]
    assert len(of_table) > 3
    assert all("| part | pieces | place |\n|---|:-:|---|\n| P-" in text for text in of_table)
    assert all(any(row in text.split("\n") for text in made) for row in rows)


def test_code_keeps_its_lines_and_every_chunk_of_it_is_fenced():
    lines = [f"    total_{n} = add({n},  {n + 1})" for n in range(20)]
    made = texts("Call it:\n\n```python\ndef run():\n" + "\n".join(lines) + "\n```\n\nDone.")
    code = [text for text in made if "total_" in text]
    assert len(code) > 2
    for text in code:
        assert text.count("```") % 2 == 0
        assert "```python\n" in text
    assert all(any(line in text.split("\n") for text in code) for line in lines)


def test_headings_inside_code_and_rows_outside_tables_are_text():
    assert [unit.text for unit in units("a | b\nc | d")] == ["a | b\nc | d"]
    assert texts("~~~\n# no heading\n~~~")[0] == "~~~\n# no heading\n~~~"


def test_items_of_a_list_stay_lines():
    made = texts("- one thing\n- another thing\n- " + "a third thing " * 6)
    assert made[0].startswith("- one thing\n- another thing\n- a third")


@pytest.mark.parametrize("text", ["x" * 2000, "字" * 500, "word " * 800, "a,b;" * 600, "สวัสดี" * 200])
def test_nothing_longer_than_the_size_is_left_whole(text):
    made = texts(text)
    assert all(estimate(piece) <= 40 for piece in made)
    assert "".join("".join(made).split()).startswith("".join(text.split())[:30])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["A sentence. Another one!", "# Heading", "- item", "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
             "```\ncode  here\n\n  more\n```", "日本語の文。 もう一つ。", "plain words without an end", ""]
        ),
        max_size=12,
    ),
    st.integers(16, 60),
)  # fmt: skip
def test_every_word_of_a_document_is_in_a_chunk(parts, size):
    text = "\n\n".join(parts)
    made = chunk(Document(id="d", text=text), Chunking(size=size, overlap=0))
    whole = " ".join(f"{piece.title} {piece.text}" for piece in made)
    for word in text.replace("#", " ").split():
        assert word in whole


def test_words_underlined_by_signs_are_headings_and_rules_and_lists_are_not():
    headed = "Guide\n=====\n\nWords of it.\n\nReturns\n-------\n\nThirty days."
    text = f"{headed}\n\n- an item\n---\n\nAfter a rule.\n\n---\n\nEnd."
    made = chunk(Document(id="d", title="T", text=text), Chunking(size=40, overlap=0))
    assert [piece.title for piece in made] == ["T > Guide", "T > Guide > Returns"]
    assert made[1].text.startswith("Thirty days.")
    assert "an item" in made[1].text
    table = "Name | Price\n--- | ---\nLamp | 3"
    assert chunk(Document(id="d", title="T", text=table), SMALL)[0].title == "T"
