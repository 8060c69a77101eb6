"""Features are additive, bounded in memory, and survive any string."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hapenny.counting.features import NAMES, SIZE, FeatureCache, features


@given(st.text(max_size=200))
def test_any_string_gives_a_finite_vector(text: str) -> None:
    vector = features(text)
    assert vector.shape == (SIZE,)
    assert np.isfinite(vector).all()
    assert (vector >= 0).all()
    sizes = vector[NAMES.index("lower") : NAMES.index("lead_other") + 1].sum()
    assert sizes == len(text.encode("utf-8", "surrogatepass"))


def test_words_digits_and_scripts_are_seen() -> None:
    vector = dict(zip(NAMES, features("The answers: 12345 đường 東京"), strict=True))
    assert vector["words_3"] == 1
    assert vector["words_6"] == 1  # six bytes of 東京
    assert vector["words_9"] == 2  # "answers" and the nine bytes of "đường"
    assert vector["digit_runs"] == 1
    assert vector["digit_triples"] == 2
    assert vector["upper_runs"] == 1
    assert vector["lead_han"] == 2


def test_lone_surrogates_and_nothing() -> None:
    assert features("\ud800 broken")[NAMES.index("segments")] == 1
    assert features("").sum() == 1


def test_request_is_the_sum_of_its_segments() -> None:
    cache = FeatureCache(len)
    parts = ["one two", '{"a": 1}', "ba người"]
    total = cache.request(parts)
    assert np.allclose(total[1:], sum(features(part, len) for part in parts)[1:])
    assert total[0] == 1


def test_cache_counts_a_segment_once_and_is_bounded() -> None:
    calls: list[str] = []

    def base(text: str) -> int:
        calls.append(text)
        return len(text)

    cache = FeatureCache(base, capacity=3)
    for _ in range(5):
        cache.request(["system prompt", "tools"])
    assert calls == ["system prompt", "tools"]
    for index in range(10):
        cache.segment(f"turn {index}")
    assert len(cache) == 3


def test_of_a_long_text_slices_stand_for_the_whole():
    import random

    from hapenny.counting.features import LONG, SEGMENTS, features, sample

    chance = random.Random(4)
    kinds = (
        "the toll of the bridge is half a penny ",
        '{"id": 4711, "price": 12.50}, ',
        "xin chào các bạn ",
        "橋の通行料は半ペニー。",
    )
    text = "".join(chance.choice(kinds) for _ in range(400_000))
    assert len(text) > 20 * LONG
    assert len(sample(text)) == LONG
    assert sample(text[:LONG]) == text[:LONG]
    whole = sum(features(text[at : at + LONG]) for at in range(0, len(text), LONG))
    scaled = features(text)
    assert scaled[SEGMENTS] == 1
    for one, other in zip(whole[2:], scaled[2:], strict=True):
        assert abs(one - other) <= 0.03 * max(one, len(text) / 100)


def test_words_of_a_long_text_are_as_many_as_it_has():
    from hapenny.counting.features import LONG
    from hapenny.telemetry.word_corrections import bag

    word = "penny "
    text = word * (4 * LONG // len(word))
    assert abs(len(bag(text)) / (len(text) / len(word)) - 1) < 0.01
