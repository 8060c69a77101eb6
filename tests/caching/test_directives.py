"""What a caller asks of stored answers by `Cache-Control`."""

import pytest

from hapenny.caching.directives import refuses


@pytest.mark.parametrize(
    ("control", "age", "left", "refused"),
    [
        ("", 50, 10, False),
        ("", 50, -10, False),  # the operator's stale window decides
        ("max-age=60", 50, 10, False),
        ("max-age=50", 50, 10, False),
        ("max-age=49", 50, 10, True),
        ("max-age=0", 0, 10, False),
        ("max-age=0", 0.1, 10, True),
        ('max-age="49"', 50, 10, True),  # quoted
        ("max-age=soon", 0, 10, True),  # what cannot be read is the most careful wish
        ("max-age=-5", 0, 10, True),
        ("max-age", 0, 10, True),
        ("max-age=60", 50, -1, True),  # says nothing of stale answers, so it wants none
        ("max-age=60, max-stale", 50, -1, False),
        ("max-age=60, max-stale=5", 50, -6, True),
        ("max-stale=5", 500, -5, False),
        ("max-stale=5", 500, -6, True),
        ("max-stale=much", 500, -1, True),
        ("max-stale", 500, -600, False),
        ("min-fresh=10", 50, 10, False),
        ("min-fresh=11", 50, 10, True),
        ("min-fresh=much", 50, 10, True),
        ("no-transform, x-max-error=0.1", 50, -10, False),
    ],
)
def test_what_a_caller_refuses(control, age, left, refused):
    directives = tuple(part.strip() for part in control.split(",") if part.strip())
    assert refuses(directives, age, left) == refused
