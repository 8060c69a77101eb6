import pytest

from hapenny.core.clock import RealClock
from hapenny.simulation import loop
from hapenny.throughput.retry import Backoff, RetryBudget


def test_delays_double_within_the_jitter():
    for seed in range(50):
        first, second, third, fourth = Backoff(tries=5).delays(RealClock(seed))
        assert 0.0 <= first <= 0.2
        assert 0.1 <= second <= 0.3
        assert 0.3 <= third <= 0.5
        assert 0.7 <= fourth <= 0.9


def test_jitter_spreads_clients_that_failed_together():
    clock = RealClock(1)
    assert len({round(next(Backoff().delays(clock)), 4) for _ in range(100)}) > 80


def test_default_is_three_tries_and_one_means_never_again():
    assert len(list(Backoff().delays(RealClock(0)))) == 2
    assert Backoff(tries=1).after(1, RealClock(0), None) is None


@pytest.mark.parametrize("bad", [{"tries": 0}, {"tries": 6}, {"factor": 0.5}, {"base_s": -1}])
def test_contradictions_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Backoff(**bad)


def test_no_retry_starts_after_the_deadline():
    async def main(clock):
        backoff = Backoff(jitter_s=0.0)
        assert backoff.after(1, clock, clock.now() + 0.05) is None
        assert backoff.after(1, clock, clock.now() + 0.2) == pytest.approx(0.1)
        assert backoff.after(3, clock, clock.now() + 60) is None
        # the server's own word counts when it asks for more, and is still bound by the deadline
        assert backoff.after(1, clock, clock.now() + 60, hint_s=7.0) == pytest.approx(7.0)
        assert backoff.after(1, clock, clock.now() + 5, hint_s=7.0) is None

    loop.run(main)


def test_budget_holds_extra_calls_to_its_share_in_an_outage():
    budget = RetryBudget(0.1)
    extra = 0
    for _ in range(10_000):
        budget.first()
        extra += budget.take() + budget.take()  # everything fails and everyone would like to try twice more
    assert extra <= 1_001
    assert extra >= 950


def test_quiet_times_save_up_no_more_than_the_reserve():
    budget = RetryBudget(0.1, reserve=10)
    for _ in range(100_000):
        budget.first()
    assert sum(budget.take() for _ in range(1000)) == 10
