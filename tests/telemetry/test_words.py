"""Words remember what they cost beyond the estimator's guess."""

import random

import numpy as np

from hapenny.telemetry import word_corrections
from hapenny.telemetry.word_corrections import Bags, Words, bag


def test_a_bag_counts_words_whatever_stands_between_them():
    one, two = bag("the cat, the dog"), bag("dog, the (the 12 cat")
    assert sorted(one) == sorted(two)
    assert len(one) == 4
    assert len(set(one.tolist())) == 3
    assert bag("cat").tolist() != bag("act").tolist()
    for nothing in ("", "12 34 !?"):
        assert len(bag(nothing)) == 0
    assert len(bag("日本語 ключ naïve")) == 3


def test_words_of_a_text_rarely_share_a_bucket():
    words = [f"{a}{b}{c}" for a in "pstkbd" for b in "aeiou" for c in ("n", "ng", "rst", "lly", "tion")]
    buckets = bag(" ".join(words)).tolist()
    assert len(buckets) == len(words)
    assert len(set(buckets)) > 0.95 * len(words)


def test_words_that_cost_more_are_told_from_words_that_do_not():
    dice = random.Random(3)
    names = [f"{chr(97 + n % 26)}{chr(97 + n // 26)}word" for n in range(60)]
    costs = {name: dice.choice([0, 0, 0, 2]) for name in names}
    words = Words(Bags())

    def texts():
        chosen = dice.choices(names, k=40)
        return [" ".join(chosen)], sum(costs[name] for name in chosen)

    for _ in range(400):
        text, missing = texts()
        words.learn(text, missing - words.extra(text), 400)
    before, after = 0.0, 0.0
    for _ in range(50):
        text, missing = texts()
        before += abs(missing - 20)  # the mean is what an estimator without words would know
        after += abs(missing - words.extra(text))
    assert after < before / 2


def test_one_odd_report_moves_little_and_long_requests_are_left_alone():
    words = Words(Bags())
    words.learn(["a fine answer"], 1e6, 100)
    assert abs(words.extra(["a fine answer"])) < 10
    many = [f"text number {n}" for n in range(100)]
    words.learn(many, 50.0, 500)
    assert words.extra(many) == 0.0


def test_the_table_keeps_up_with_many_segments_of_the_same_words():
    words = Words(Bags())
    texts = ["the same words again"] * 30
    for _ in range(200):
        words.learn(texts, 12.0 - words.extra(texts), 400)
    assert abs(words.extra(texts) - 12.0) < 0.5


def test_the_table_by_which_words_are_told_apart_is_the_one_that_was_drawn():
    drawn = np.random.default_rng(20261120).integers(2, 256, (2, 256))
    assert [list(row) for row in word_corrections.DICE] == drawn.tolist()
