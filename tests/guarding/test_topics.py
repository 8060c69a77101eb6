"""Denied topics: phrases, gaps, and words that only contain them."""

import pytest

from hapenny.guarding.normal import normal
from hapenny.guarding.topics import GAP, Topics

TOPICS = Topics({"shares": ["buy * shares", "stock tip"], "refunds": ["返金 * 方法"]})


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("Should I buy some shares?", "shares"),
        ("BUY\nSHARES".replace("\n", " all "), "shares"),
        ("ｓｔｏｃｋ　ｔｉｐ", "shares"),
        ("a stock\ntip of the day", "shares"),
        ("返金の正しい方法は", "refunds"),
        ("buy buy buy buy the shares", "shares"),
    ],
)
def test_a_phrase_is_found_however_it_is_written(text, topic):
    assert TOPICS.find(normal(text).text).topic == topic


@pytest.mark.parametrize("text", ["buyers of shares", "buy bread", "stock tips", "buy " + "x" * GAP + " shares"])
def test_other_words_and_wide_gaps_are_no_mention(text):
    assert TOPICS.find(normal(text).text) is None


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("They rebuy and buy the", "buy the"),
        ("We have it in stock", "stock"),
        ("Is that a st", "st"),
        ("返金の正しい", "返金の正しい"),
        ("We buy " + "x" * 60, ""),
        ("restock", ""),
    ],
)
def test_what_may_become_a_phrase_is_held_back(text, held):
    whole = normal(text).text
    assert whole[TOPICS.open_from(whole, 0) :] == held


@pytest.mark.parametrize("phrase", ["", "*", "buy *", "* shares", "a ** b", "x" * 200])
def test_a_phrase_that_cannot_be_is_refused(phrase):
    with pytest.raises(ValueError, match="phrase"):
        Topics({"a": [phrase]})
