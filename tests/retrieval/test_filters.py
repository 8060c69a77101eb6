"""Metadata filters as a client writes them."""

import pytest

from hapenny.retrieval.filters import FilterError, parse


@pytest.mark.parametrize("bound", ["is", "gt", "gte", "lt", "lte"])
@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan")])
def test_a_bound_that_is_no_finite_number_is_refused_by_its_name(bound, value):
    with pytest.raises(FilterError, match=rf"filter\.{bound}: expected a finite number"):
        parse({"field": "price", bound: value}, "filter")
