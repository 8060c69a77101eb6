"""How fast places are, as measured of late."""

import pytest

from hapenny.throughput.speed import KEPT, STALE_S, Speed


def test_an_answer_takes_its_first_token_and_the_usual_length_at_the_measured_pace():
    speed = Speed()
    assert speed.predicted(0.0, 100) is None
    for at in range(10):
        speed.began(float(at), 0.4)
        speed.ended(float(at), 1.4, 1.0, 101)
    assert speed.predicted(10.0, 101) == pytest.approx(0.4 + 1.0)
    assert speed.predicted(10.0, None) == pytest.approx(0.4)
    assert speed.predicted(10.0, 1, streamed=False) == pytest.approx(0.4)


def test_answers_that_come_whole_are_measured_as_wholes():
    speed = Speed()
    speed.ended(0.0, 2.0, None, 100)
    assert speed.predicted(1.0, 50, streamed=False) == 2.0


def test_a_few_late_samples_outweigh_what_was_measured_before():
    speed = Speed()
    for at in range(KEPT):
        speed.began(at * 0.01, 0.3)
    assert speed.predicted(1.0, 1) == pytest.approx(0.3)
    for at in range(KEPT // 3):
        speed.began(1.0 + at * 0.01, 0.9)
    assert speed.predicted(2.0, 1) == pytest.approx(0.9)


def test_what_was_measured_long_ago_is_not_known_and_is_tried_once_in_a_while():
    speed = Speed()
    speed.began(0.0, 0.3)
    assert not speed.due(1.0)
    late = STALE_S + 1
    assert speed.predicted(late, 1) is None
    assert speed.due(late)
    assert not speed.due(late + 1)
    assert speed.due(late + STALE_S)
