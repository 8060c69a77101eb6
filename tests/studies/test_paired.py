"""A difference is judged over distinct questions."""

import pytest

from hapenny.studies.paired import compare


def test_equal_answers_are_noninferior() -> None:
    found = compare((f"q{number}", number % 5 > 0, number % 5 > 0) for number in range(500))
    assert found.ours == found.baseline == 0.8
    assert found.difference == 0.0
    assert found.noninferior(0.01)
    assert found.distinct == 500


def test_no_difference_among_few_questions_proves_little() -> None:
    # The exact upper bound of a share of which nothing was seen among n: 1 - .025 ** (1 / n), about 3.7 / n.
    for distinct in (30, 300):
        found = compare((f"q{number}", True, True) for number in range(distinct))
        bound = 1 - 0.025 ** (1 / distinct)
        assert (found.low, found.high) == pytest.approx((-bound, bound))
    assert not compare((f"q{number}", True, True) for number in range(300)).noninferior(0.01)
    assert compare((f"q{number}", True, True) for number in range(400)).noninferior(0.01)


def test_one_difference_is_no_proof_of_no_other() -> None:
    found = compare((f"q{number}", number > 0, True) for number in range(200))
    assert found.low < -1 / 200 - 0.01
    assert found.high >= 0.01


def test_a_loss_is_seen_and_a_small_sample_proves_nothing() -> None:
    lost = compare((f"q{number}", number % 20 > 0, True) for number in range(2000))
    assert lost.difference == pytest.approx(-0.05)
    assert lost.low < -0.04 < -0.06 + 0.03
    assert not lost.noninferior(0.01)
    few = compare((f"q{number}", number != 3, number != 7) for number in range(40))
    assert few.difference == 0.0
    assert not few.noninferior(0.01)


def test_the_same_question_again_is_no_new_evidence() -> None:
    once = compare((f"q{number}", number % 10 > 0, number % 9 > 0) for number in range(90))
    often = compare((f"q{number}", number % 10 > 0, number % 9 > 0) for number in range(90) for _ in range(50))
    assert often.messages == 50 * once.messages
    assert often.distinct == once.distinct
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        compare([])
