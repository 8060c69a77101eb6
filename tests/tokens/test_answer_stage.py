"""Limits follow what was seen, by intent."""

import random

import msgspec
import pytest

from hapenny.tokens.answer_stage import AnswerSizes
from hapenny.tokens.options import SizeOptions


def test_an_intent_gets_its_own_limit_and_few_answers_the_pools() -> None:
    rng = random.Random(1)
    sizes = AnswerSizes()
    assert sizes.limit("greeting") is None
    for _ in range(500):
        sizes.learn("story", rng.randint(300, 600))
        sizes.learn("greeting", rng.randint(5, 20))
    sizes.learn("rare", 10)
    assert sizes.limit("greeting") == sizes.options.floor
    assert 590 * 1.25 <= sizes.limit("story") <= 600 * 1.25 + 1
    assert sizes.limit("rare") > sizes.limit("story")


def test_fewer_than_one_in_a_hundred_answers_is_longer() -> None:
    rng = random.Random(2)
    sizes = AnswerSizes(SizeOptions(floor=1))
    for _ in range(800):
        sizes.learn("a", int(rng.lognormvariate(4, 0.6)) + 1)
    limit = sizes.limit("a")
    assert sum(int(rng.lognormvariate(4, 0.6)) + 1 > limit for _ in range(5000)) < 50


def test_limits_follow_when_answers_get_longer() -> None:
    sizes = AnswerSizes(SizeOptions(window=100))
    for _ in range(100):
        sizes.learn("a", 100)
    for _ in range(100):
        sizes.learn("a", 1000)
    assert sizes.limit("a") >= 1250


def test_dump_load_and_bound() -> None:
    sizes, copy = AnswerSizes(capacity=5), AnswerSizes()
    for number in range(60):
        for _ in range(45):
            sizes.learn(f"i{number}", 200 + number)
    copy.loads(sizes.dumps())
    assert copy.limit("i59") == sizes.limit("i59")
    assert len(msgspec.msgpack.decode(sizes.dumps())) == 5


def test_options_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="quantile"):
        SizeOptions(quantile=1.5)
