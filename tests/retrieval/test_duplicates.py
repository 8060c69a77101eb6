import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.retrieval.documents import Document
from hapenny.retrieval.ingest.duplicates import Sketches, likeness, wording


def pair(shared, own, start):
    """Two texts of single shingles with a Jaccard likeness of shared / (shared + 2 own)."""
    both = [f"word{start + i}" for i in range(shared)]
    left = [f"left{start + i}" for i in range(own)]
    right = [f"right{start + i}" for i in range(own)]
    return both + left, both + right


@pytest.mark.parametrize("true", [0.1, 0.5, 0.9])
def test_the_estimate_of_likeness_has_the_error_that_independent_hashes_have(true):
    sketches = Sketches()
    errors = []
    for n in range(300):
        shared = round(200 * true)
        own = (200 - shared) // 2
        one, two = pair(shared, own, n * 1000)
        # Shingles of one word: five copies of each, so that every run of five is one of them.
        signatures = [
            sketches.signature([word for word in words for _ in range(5)][:1] + words) for words in (one, two)
        ]
        exact = jaccard(one, two)
        errors.append(likeness(*signatures) - exact)
    expected = (true * (1 - true) / 64) ** 0.5
    assert abs(np.mean(errors)) < 4 * expected / 300**0.5 + 0.01
    assert 0.7 * expected < np.std(errors) < 1.4 * expected


def jaccard(one, two):
    sets = [{tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in (one, two)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_unlike_texts_are_never_called_alike():
    sketches = Sketches()
    for n in range(300):
        assert sketches.add(str(n), [f"w{n}_{i}" for i in range(50)] + [f"common{i}" for i in range(50)]) is None


def test_a_text_with_one_word_changed_is_reported_as_alike():
    words = [f"w{i}" for i in range(400)]
    sketches = Sketches()
    assert sketches.add("a", words) is None
    near = sketches.add("b", [*words[:200], "changed", *words[201:]])
    assert near is not None
    assert near[0] == "a"
    assert near[1] >= 0.9


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["Heron", "heron", "19", "1.9", "-19", "C++", "C#", "C", "no", "猫"]), max_size=6))
def test_two_texts_share_a_wording_only_with_the_same_words_numbers_and_signs(words):
    plain = Document(id="a", text=" ".join(words))
    dotted = Document(id="b", text="  ".join(words) + ".")
    assert wording(plain) == wording(dotted)
    for extra in ("Heron", "19", "+"):
        assert wording(Document(id="c", text=" ".join([*words, extra]))) != wording(plain)
