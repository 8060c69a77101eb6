"""Judges that need no model."""

import pytest

from hapenny.evidence import judges


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("The Eiffel Tower.", "eiffel tower", True),
        ("1,234", "1234.0", True),
        ("$18", "18", True),
        (r"\frac{1}{2}", "1/2", True),
        (r"\text{yes}", "Yes", True),
        ("50%", "50", True),
        ("12", "21", False),
        ("", "", False),
        ("[1, 2]", "[2, 1]", False),
    ],
)
def test_agreement(a, b, same):
    assert judges.agree(a, b) is same
    assert judges.exact(a, b) == float(same)


def test_numeric_takes_the_last_number():
    assert judges.numeric("First 3, then 4, so the answer is 12.", "12") == 1
    assert judges.numeric("It is 11.9", "12") == 0
    assert judges.numeric("1e3", "1000") == 1
    assert judges.numeric("no idea", "12") == 0
    assert judges.numeric("12", "twelve") == 0


def test_similarity():
    assert judges.similarity([1, 0], [2, 0]) == pytest.approx(1)
    assert judges.similarity([1, 0], [-1, 0]) == 0
    assert judges.similarity([0, 0], [1, 0]) == 0


@pytest.mark.parametrize("answer", ["9" * 5000 + "/3", "1/" + "9" * 5000, "9" * 400 + "/7", "5/0", "9" * 5000])
def test_a_number_that_no_float_holds_is_none(answer):
    assert judges.number(answer) is None
