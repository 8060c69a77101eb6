"""The base count of the `tokenizers` extra."""

import pytest

from hapenny.counting import Estimators, o200k

pytest.importorskip("bpe_openai")


def test_counts_by_o200k() -> None:
    count = o200k()
    assert count is not None
    assert count("hello world") == 2
    assert count("<|endoftext|>") > 1  # text, never a control token
    assert count("") == 0


def test_best_estimators_start_exact_for_an_o200k_model() -> None:
    count = o200k()
    text = "The parcel arrives on Tuesday; số đơn hàng là 55120. ご注文ありがとうございます。"
    assert Estimators.best().count("openai", "gpt", text).tokens == count(text)
