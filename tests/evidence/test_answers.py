"""The judge without a model: what it tells apart, and its limits calibrated on what people said."""

import numpy as np
import pytest

from hapenny.evidence.answers import ALIKE, APART, Labelled, agreement, calibrate, compare, labelled, scaled


async def embed(texts):
    """Two texts at an angle whose cosine is the number after `angle`."""
    cosine = next((float(text.split("angle")[1]) for text in texts if "angle" in text), 1.0)
    return [[1.0, 0.0], [cosine, (1 - cosine**2) ** 0.5]]


@pytest.mark.parametrize(
    ("served", "reference", "loss"),
    [
        ("Half a penny.", "half penny", 0.0),
        ("7", "8", 1.0),
        ("It costs 7.", "It costs 8.", 1.0),
        ("It costs 7.", "It costs 7 and 8.", 0.0),
        ("blue", "red", 0.0),
    ],
)
async def test_words_and_numbers_go_before_vectors(served, reference, loss):
    assert await compare(served, reference, embed) == loss


async def test_between_the_limits_the_loss_is_linear():
    for cosine, loss in ((0.9, 0.0), (ALIKE, 0.0), ((ALIKE + APART) / 2, 0.5), (APART, 1.0), (0.1, 1.0)):
        assert scaled(cosine, ALIKE, APART) == pytest.approx(loss)
    assert await compare("one", "angle0.3", embed, 0.4, 0.2) == pytest.approx(0.5)
    assert (await labelled("one way", "other way", 1.0, _alike)).cosine == pytest.approx(0.6)


async def _alike(texts):
    return [[1.0, 0.0], [0.6, 0.8]]


def people(n, border, seed=0):
    """Pairs that people find worse where the cosine is under `border`."""
    rng = np.random.default_rng(seed)
    at = rng.random(n)
    return [Labelled(None, float(cosine), float(cosine < border)) for cosine in at]


def test_calibration_finds_peoples_border_and_holds_on_new_pairs():
    strict = agreement(people(400, 0.3, seed=1))
    best = calibrate(people(400, 0.3))
    assert best.apart < 0.3 < best.alike + 0.06
    fresh = agreement(people(400, 0.3, seed=1), best.alike, best.apart)
    assert fresh.agreed > 0.95 > strict.agreed
    assert strict.low < strict.agreed < strict.high
    assert strict.bias > 0.2 > abs(fresh.bias)


def test_what_words_decide_is_not_calibrated_on():
    plain = [Labelled(1.0, 0.0, 0.0)] * 100
    with pytest.raises(ValueError, match="30 are the least"):
        calibrate([*plain, *people(29, 0.3)])
    assert agreement(plain).agreed == 0.0
