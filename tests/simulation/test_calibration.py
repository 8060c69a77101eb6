"""A card from a few measured points is the card they were measured of."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.simulation.batching import ServerCard
from hapenny.simulation.calibration import Point, calibrate


def point(card, at_once, prompt):
    step = card.step_s + card.sequence_s * at_once
    first = math.ceil(prompt / card.chunk) * step + prompt / card.prefill_tokens_per_s
    return Point(at_once=at_once, prompt=prompt, first_s=first, token_s=step)


@given(
    step=st.floats(0.002, 0.1), sequence=st.floats(0.00001, 0.005), prefill=st.floats(500, 100_000),
)  # fmt: skip
def test_exact_points_give_the_card_back(step, sequence, prefill):
    true = ServerCard(step_s=step, sequence_s=sequence, prefill_tokens_per_s=prefill)
    made = calibrate([point(true, 1, 1_000), point(true, 8, 3_000), point(true, 64, 2_000)])
    assert made.card.step_s == pytest.approx(step, rel=1e-3)
    assert made.card.sequence_s == pytest.approx(sequence, rel=1e-3, abs=1e-8)
    assert made.card.prefill_tokens_per_s == pytest.approx(prefill, rel=1e-2)
    assert made.error < 1e-3


def test_what_is_known_besides_stays():
    known = ServerCard(kv_tokens=77_000, start_s=300)
    card = calibrate([point(known, 1, 1_000), point(known, 32, 1_000)], known).card
    assert (card.kv_tokens, card.start_s) == (77_000, 300)


def test_noise_that_falls_makes_no_negative_part():
    card = calibrate(
        [
            Point(at_once=1, prompt=900, first_s=0.3, token_s=0.03),
            Point(at_once=9, prompt=900, first_s=0.3, token_s=0.02),
        ]
    ).card
    assert card.sequence_s == 0
    assert card.step_s > 0


@pytest.mark.parametrize(
    ("points", "named"),
    [
        ([point(ServerCard(), 4, 500), point(ServerCard(), 4, 900)], "no slope"),
        ([point(ServerCard(), 4, 500), Point(at_once=8, prompt=5, first_s=0, token_s=1)], "not above 0"),
        ([Point(at_once=n, prompt=10, first_s=0.001, token_s=0.02) for n in (1, 2)], "no prompt is seen"),
    ],
)
def test_points_that_tell_nothing_are_refused(points, named):
    with pytest.raises(ValueError, match=named):
        calibrate(points)
