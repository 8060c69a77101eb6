"""Token hashes and shape measures of prompts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.routing.intents.features import HEAD, SHAPE, TAIL, extract


def measure(text, name):
    return extract(text).shape[SHAPE.index(name)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("hello", 1),
        ("Hello, world!", 4),
        ("a1b22", 4),
        ("x==y", 4),
        ("Xin chào tôi là người Việt", 6),
        ("東京の天気は？", 7),
        ("naïve café", 2),
        ("  \n\t ", 0),
    ],
)
def test_tokens(text, tokens):
    assert len(extract(text).words) == tokens


def test_hash_depends_on_the_word_alone():
    first, second = extract("the cat sat on the mat"), extract("MAT, a longer beginning, then: The CAT")
    words = set(first.words.tolist()) & set(second.words.tolist())
    assert len(words) == 3
    assert len(set(first.words.tolist())) == 5


def test_digits_are_alike_but_their_count_is_not():
    assert extract("12").words[0] == extract("87").words[0] != extract("123").words[0]


def test_pairs_know_the_order():
    assert extract("dog bites").pairs[0] != extract("bites dog").pairs[0]
    assert len(extract("one").pairs) == 0


def test_shape():
    assert measure("How many apples?", "how_many") == 1
    assert measure("def f(x): return x", "code") == 1
    assert measure("AbC", "upper_share") == pytest.approx(2 / 3)
    assert measure("one two one two", "distinct_share") == 0.5
    assert measure("a\nb\nc", "lines") == pytest.approx(np.log(3))


def test_only_head_and_tail_of_a_long_text_are_read():
    long = "word " * 100_000
    assert len(extract(long).words) <= (HEAD + TAIL) // 5 + 2
    assert extract("a " * HEAD + "middle " + "z " * TAIL).words.tolist()[-1] == extract("z").words[0]


@given(st.text(max_size=300))
def test_any_text_gives_finite_features(text):
    found = extract(text)
    assert found.shape.shape == (len(SHAPE),)
    assert np.isfinite(found.shape).all()
    assert len(found.pairs) == max(0, len(found.words) - 1)
