"""Quotas: reserved at the start, settled at the end."""

from hapenny.core.events import Tokens
from hapenny.simulation.quota import Quota, burnt


def test_the_reservation_counts_until_it_is_settled() -> None:
    quota = Quota(None, 10_000, 0.0)
    assert quota.reserve(6000, 0.0) is None
    said = quota.reserve(6000, 0.0)
    assert said is not None
    assert "tokens" in said
    quota.settle(6000, 500, 0.0)
    assert quota.available(0.0) == 9500
    assert quota.reserve(6000, 0.0) is None


def test_it_refills_in_a_minute_and_never_overflows() -> None:
    quota = Quota(60, 6000, 0.0)
    assert quota.reserve(6000, 0.0) is None
    assert quota.available(30.0) == 3000
    assert quota.available(600.0) == 6000
    quota.settle(6000, 0, 600.0)
    assert quota.available(600.0) == 6000


def test_requests_a_minute() -> None:
    quota = Quota(2, None, 0.0)
    assert [quota.reserve(10**9, 0.0) is None for _ in range(3)] == [True, True, False]
    assert quota.reserve(1, 29.0) is not None
    assert quota.reserve(1, 30.0) is None
    assert quota.throttled == 2


def test_an_overdrawn_settlement_is_paid_back_first() -> None:
    quota = Quota(None, 1000, 0.0)
    quota.reserve(100, 0.0)
    quota.settle(100, 4000, 0.0)
    assert quota.available(0.0) == -3000
    assert quota.reserve(1, 120.0) is not None


def test_burndown() -> None:
    tokens = Tokens(input=10, output=100, cache_read=1000, cache_write=20, cache_write_1h=5)
    assert burnt(tokens, 5) == 535
    assert burnt(tokens, 1) == 135
