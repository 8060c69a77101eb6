"""The price walk closes its books, whatever happened."""

from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.money import Totals, dollars, summed, walk

nano = st.integers(0, 10**12)
names = st.sampled_from(["exact", "tiers", "pruning", "retry"])


@given(
    st.lists(st.tuples(names, nano), min_size=1, max_size=8),
    st.lists(st.tuples(names, nano), max_size=4),
    nano,
)
def test_the_identity_holds_for_any_prices(steps, calls, adopted):
    books = walk(steps, calls, adopted)
    assert books.baseline == steps[0][1]
    assert books.baseline - sum(books.savings.values()) - books.estimate_error == books.actual
    assert books.actual == adopted + sum(cost for _, cost in calls)


def test_each_technique_gets_what_it_changed_less_its_own_cost():
    books = walk([("", 1000), ("tiers", 400), ("pruning", 300)], [("tiers", 50)], 290)
    assert books.savings == {"tiers": 550, "pruning": 100}
    assert books.estimate_error == 10
    assert books.actual == 340


def test_an_unknown_price_leaves_the_row_unpriced():
    for books in (
        walk([("", None), ("exact", 0)], [], 0),
        walk([("", 100)], [("retry", None)], 100),
        walk([("", 100)], [], None),
    ):
        assert books.actual is None
        assert books.savings == {}


def test_dollars_are_exact_text():
    assert dollars(1_234_567_891) == "1.234568"
    assert dollars(-1_250_000) == "-0.001250"
    assert dollars(999_999_999_999_999, 0) == "1000000"


def test_a_sum_with_an_unknown_amount_is_unknown():
    known = Totals(30, 70, {"tiers": 50, "exact": 20})
    assert summed([known, Totals(5, 10, {"tiers": 10})]) == Totals(35, 80, {"tiers": 60, "exact": 20})
    assert summed([]) == Totals(0, 0, {})
    for unknown in (None, Totals(None, None, {})):
        assert summed([known, unknown, known]) == Totals(None, None, known.savings)
