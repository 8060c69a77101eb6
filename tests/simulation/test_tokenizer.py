"""The hidden vocabulary behaves like one, and can be learned from reported usage."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.counting.estimator import Estimator
from hapenny.counting.features import FeatureCache
from hapenny.simulation.tokenizer import Tokenizer, tokenizer
from tests.simulation.helpers import SHOP, questions


@given(st.text(max_size=400))
def test_pieces_join_to_the_text_and_add_up(text: str) -> None:
    vocabulary = tokenizer("claude")
    pieces = vocabulary.pieces(text)
    assert "".join(piece for piece, _ in pieces) == text
    assert all(tokens >= 1 for _, tokens in pieces)
    assert sum(tokens for _, tokens in pieces) == vocabulary.count(text)
    assert Tokenizer("claude").count(text) == vocabulary.count(text)


def test_vocabularies_differ_and_languages_cost_differently() -> None:
    old, new = tokenizer("claude"), tokenizer("claude-2")
    assert 1.2 < new.count(SHOP) / old.count(SHOP) < 1.8
    english = old.count(SHOP) / len(SHOP)
    assert 0.18 < english < 0.34  # real vocabularies: 0.2 to 0.28 tokens a character of plain English
    japanese = "巻数は背表紙に書いてあります。返品は三十日以内にお願いします。"
    assert 0.5 < old.count(japanese) / len(japanese) < 1.3
    vietnamese = "Bạn có thể trả lại hàng trong vòng ba mươi ngày kể từ khi nhận được."
    assert old.count(vietnamese) / len(vietnamese) > english


@pytest.mark.parametrize("hint", ["claude", "claude-2", "nova"])
def test_the_learning_estimator_gets_within_a_few_percent(hint: str) -> None:
    vocabulary, chance = tokenizer(hint), random.Random(1)
    asked = questions(600, seed=8)
    estimator = Estimator(FeatureCache(None, 10_000))
    errors = []
    for number in range(300):
        text = SHOP[: chance.randint(20, len(SHOP))] + " " + " ".join(chance.sample(asked, 12))
        true = vocabulary.count(text)
        estimate = estimator.count([text])
        if number >= 200:
            errors.append(abs(estimate.tokens - true) / true)
        estimator.learn(estimate.features, true)
    assert statistics.median(errors) < 0.05
