"""Two counts of calls in flight agree within what a stretch cuts off at its ends."""

import pytest

from hapenny.capacity.littles_law import agrees


@pytest.mark.parametrize(
    ("seen", "expected", "same"),
    [(0.5, 0.0, True), (0.0, 0.5, True), (0.6, 0.0, False), (8.0, 6.0, True), (6.0, 8.0, True), (8.1, 6.0, False)],
)
def test_few_calls_may_differ_by_half_a_call_and_many_by_a_quarter(seen, expected, same):
    assert agrees(seen, expected) is same
