"""Configurations side by side: every figure of the drawing stands in it as text, and nothing is drawn outside."""

import re

from hypothesis import given
from hypothesis import strategies as st

from hapenny.console.html.spans import Saving, savings, shares_within

SHARES = st.floats(-3, 1)


def places(drawing, *names):
    return [float(each) for name in names for each in re.findall(rf'\b{name}="(-?[\d.]+)"', drawing)]


@given(st.lists(st.tuples(SHARES, st.floats(0, 0.4), st.floats(0, 0.5)), min_size=1, max_size=4))
def test_savings_stay_within_the_drawing(rows):
    drawing = savings(
        [Saving(f"<{n}>", at, at - wide, at + wide, at + more) for n, (at, wide, more) in enumerate(rows)], "Saved"
    )
    assert 'aria-label="Saved"' in drawing
    assert all(0 <= each <= 960 for each in places(drawing, "x", "x1", "x2", "cx"))
    for number, (at, _, _) in enumerate(rows):
        assert f"&lt;{number}&gt;: {at:.1%}" in drawing
    assert "<0>" not in drawing


@given(st.lists(st.lists(st.floats(1e-4, 500), min_size=2, max_size=9).map(sorted), min_size=1, max_size=4))
def test_shares_within_stay_within_the_drawing(series):
    drawing = shares_within(
        [(f"one {n}", [(100 * at / len(values), value) for at, value in enumerate(values)])
         for n, values in enumerate(series)],
        [(1.5, "1.5 s")], "Whole",
    )  # fmt: skip
    points = [point.split(",") for line in re.findall(r'points="([^"]+)"', drawing) for point in line.split()]
    assert len(points) == sum(map(len, series))
    assert all(0 <= float(x) <= 960 and 0 <= float(y) <= 270 for x, y in points)


def test_nothing_to_compare_is_said():
    assert "Nothing to compare" in savings([], "Saved")
    assert "Nothing was answered" in shares_within([("one", [])], [], "Whole")
