import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.retrieval.chunking import Chunking, chunk, estimate, pack, sections, sentences
from hapenny.retrieval.documents import Document

TEXT = """Intro sentence one. Intro sentence two.

## Returns

You can return goods within 30 days. Keep the receipt.

### Shoes

Shoes must be unworn.

```
# not a heading
```

## Shipping

We ship on weekdays.
"""


def test_sections_follow_headings_and_leave_code_alone():
    found = sections(TEXT)
    assert [section.path for section in found] == [(), ("Returns",), ("Returns", "Shoes"), ("Shipping",)]
    assert "# not a heading" in found[2].text


def test_chunks_carry_title_path_metadata_and_parent():
    document = Document(id="faq", title="Help", text=TEXT, facets={"lang": ["en"]}, numbers={"year": 2024.0})
    pieces = chunk(document)
    assert [piece.title for piece in pieces] == ["Help", "Help > Returns", "Help > Returns > Shoes", "Help > Shipping"]
    assert all(piece.parent == "faq" and piece.facets == {"lang": ["en"]} for piece in pieces)
    assert [piece.id for piece in pieces] == ["faq#0", "faq#1", "faq#2", "faq#3"]


def test_a_short_document_stays_whole():
    document = Document(id="x", title="T", text="One sentence.")
    assert chunk(document) == [document]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(16, 80), st.integers(0, 15))
def test_every_sentence_is_in_a_chunk_and_chunks_keep_the_size(costs, size, overlap):
    parts = [f"{'x ' * cost}".strip() for cost in costs]
    ranges = pack(parts, size, overlap, lambda text: len(text.split()))
    covered = {i for start, end in ranges for i in range(start, end)}
    assert covered == set(range(len(parts)))
    for (start, end), following in zip(ranges, [*ranges[1:], None], strict=True):
        assert end - start == 1 or sum(costs[start:end]) <= size
        if following is not None:
            assert start < following[0] <= end < following[1]
            assert sum(costs[following[0] : end]) <= overlap


def test_sentences_of_three_languages():
    assert sentences("It costs 3.5 dollars. Really? Yes!") == ["It costs 3.5 dollars.", "Really?", "Yes!"]
    assert sentences("雨が降る。傘がいる。") == ["雨が降る。", "傘がいる。"]
    assert sentences("Trời mưa. Đường ướt.") == ["Trời mưa.", "Đường ướt."]


def test_estimates_grow_with_text_in_every_script():
    assert estimate("雨が降る") == 4
    assert estimate("internationalisation") == 5
    assert estimate("") == 0


def test_sizes_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="size"):
        Chunking(size=32, overlap=32)
