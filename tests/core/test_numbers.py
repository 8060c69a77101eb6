"""Numbers that others wrote."""

import math

import pytest

from hapenny.core.numbers import finite


@pytest.mark.parametrize(("value", "number"), [(3, 3.0), (-0.5, -0.5), (2**70, float(2**70))])
def test_a_number_is_read(value, number):
    assert finite(value) == number


@pytest.mark.parametrize("value", [True, None, "3", [3], 10**400, -(10**400), math.inf, math.nan])
def test_what_no_float_holds_is_none(value):
    assert finite(value) is None
