"""Which stored answers a withdrawal means."""

import pytest

from hapenny.caching.store import Entry
from hapenny.caching.withdrawals import Withdrawal, Withdrawals


def entry(**more):
    return Entry(key=b"k", value=None, size=1, stored=50.0, expires=900.0, dies=900.0, tags=("a",), **more)


@pytest.mark.parametrize(("kept", "meant"), [(99.0, True), (100.0, True), (100.001, False)])
def test_whatever_was_kept_until_the_moment_of_the_withdrawal_is_meant(kept, meant):
    withdrawals = Withdrawals()
    withdrawals.add(Withdrawal(older_than=0.0), 100.0)
    assert withdrawals.mean(entry(), kept) is meant


def test_what_was_younger_than_it_says_stays():
    withdrawals = Withdrawals()
    withdrawals.add(Withdrawal(older_than=10.0), 100.0)
    assert not withdrawals.mean(entry(), 95.0)
    assert withdrawals.mean(entry(), 90.0)
