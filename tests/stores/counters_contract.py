"""What every counter store must do. Subclass it with a `store` fixture that gives (counters, clock)."""

import math

import pytest

from hapenny.core.clock import RealClock
from hapenny.stores.counters import Charge, Limit


class ManualClock(RealClock):
    """A clock that the test turns by hand."""

    def __init__(self, at=1_000_000_000.0):
        super().__init__(7)
        self.at = at

    def now(self):
        return self.at

    def wall(self):
        return self.at


TPM = Limit(amount=6000, window_s=60)
RPM = Limit(amount=60, window_s=60)


class CountersContract:
    async def test_reserves_until_nothing_is_left(self, store):
        counters, _ = store
        for _ in range(3):
            assert (await counters.reserve([Charge("a", TPM, 2000)])).ticket
        refused = await counters.reserve([Charge("a", TPM, 2000)])
        assert refused.ticket is None
        assert refused.wait_s == pytest.approx(20, abs=0.01)
        assert refused.level == pytest.approx(0, abs=1e-6)

    async def test_refills_evenly_up_to_its_capacity(self, store):
        counters, clock = store
        await counters.reserve([Charge("a", TPM, 6000)])
        clock.at += 15
        assert (await counters.levels([Charge("a", TPM, 0)]))[0] == pytest.approx(1500, abs=0.1)
        clock.at += 3600
        assert (await counters.levels([Charge("a", TPM, 0)]))[0] == pytest.approx(6000, abs=0.1)

    async def test_burst_bounds_what_is_saved(self, store):
        counters, clock = store
        small = Limit(amount=6000, window_s=60, burst=500)
        clock.at += 3600
        assert (await counters.reserve([Charge("a", small, 500)])).ticket
        assert (await counters.reserve([Charge("a", small, 100)])).wait_s == pytest.approx(1.0, abs=0.01)

    async def test_fixed_windows_start_at_multiples_of_their_length(self, store):
        counters, clock = store
        fixed = Limit(amount=100, window_s=60, kind="fixed")
        clock.at = 1_000_000_000.0 - 1_000_000_000.0 % 60 + 45
        assert (await counters.reserve([Charge("m", fixed, 80)])).ticket
        refused = await counters.reserve([Charge("m", fixed, 80)])
        assert refused.wait_s == pytest.approx(15, abs=0.01)
        clock.at += 15.001
        assert (await counters.reserve([Charge("m", fixed, 100)])).ticket

    async def test_all_or_nothing(self, store):
        counters, _ = store
        both = [Charge("rpm", RPM, 1), Charge("tpm", TPM, 5000)]
        assert (await counters.reserve(both)).ticket
        assert (await counters.reserve(both)).ticket is None
        assert await counters.levels(both) == [pytest.approx(59, abs=0.1), pytest.approx(1000, abs=0.1)]

    async def test_settling_gives_back_what_was_not_used(self, store):
        counters, _ = store
        grant = await counters.reserve([Charge("a", TPM, 5000)])
        counters.settle(grant.ticket, [1000])
        assert (await counters.levels([Charge("a", TPM, 0)]))[0] == pytest.approx(5000, abs=0.1)

    async def test_settling_charges_more_when_more_was_used(self, store):
        counters, _ = store
        grant = await counters.reserve([Charge("a", TPM, 5000)])
        counters.settle(grant.ticket, [9000])
        assert (await counters.levels([Charge("a", TPM, 0)]))[0] == pytest.approx(-3000, abs=0.1)
        refused = await counters.reserve([Charge("a", TPM, 1000)])
        assert refused.wait_s == pytest.approx(40, abs=0.01)

    async def test_settling_twice_counts_once(self, store):
        counters, _ = store
        grant = await counters.reserve([Charge("a", TPM, 5000)])
        counters.settle(grant.ticket, [0])
        counters.settle(grant.ticket, [0])
        other = await counters.reserve([Charge("a", TPM, 6000)])
        assert other.ticket
        assert (await counters.reserve([Charge("a", TPM, 1)])).ticket is None

    async def test_a_call_larger_than_the_limit_passes_when_nothing_else_is_used(self, store):
        counters, clock = store
        assert (await counters.reserve([Charge("a", TPM, 9000)])).ticket
        assert (await counters.levels([Charge("a", TPM, 0)]))[0] == pytest.approx(-3000, abs=0.1)
        clock.at += 89
        assert (await counters.reserve([Charge("a", TPM, 9000)])).ticket is None
        clock.at += 2
        assert (await counters.reserve([Charge("a", TPM, 9000)])).ticket

    async def test_totals_do_not_come_back(self, store):
        counters, clock = store
        budget = Limit(amount=100, kind="total")
        grant = await counters.reserve([Charge("b", budget, 60)], ttl_s=1e6)
        clock.at += 10_000
        assert (await counters.reserve([Charge("b", budget, 60)])).wait_s == math.inf
        counters.settle(grant.ticket, [10])
        assert (await counters.reserve([Charge("b", budget, 60)])).ticket

    async def test_held_units_return_whole(self, store):
        counters, _ = store
        two = Limit(amount=2, kind="held")
        first = await counters.reserve([Charge("c", two, 1)])
        await counters.reserve([Charge("c", two, 1)])
        assert (await counters.reserve([Charge("c", two, 1)])).ticket is None
        counters.settle(first.ticket, [1])
        assert (await counters.reserve([Charge("c", two, 1)])).ticket

    async def test_correction_only_lowers(self, store):
        counters, _ = store
        await counters.reserve([Charge("a", TPM, 1000)])
        counters.correct("a", TPM, 5500)
        assert (await counters.levels([Charge("a", TPM, 0)]))[0] == pytest.approx(5000, abs=0.1)
        counters.correct("a", TPM, 100)
        assert (await counters.levels([Charge("a", TPM, 0)]))[0] == pytest.approx(100, abs=0.1)

    async def test_a_dead_holder_returns_what_it_held_and_pays_what_it_reserved(self, store):
        counters, clock = store
        one = Limit(amount=1, kind="held")
        await counters.reserve([Charge("c", one, 1), Charge("a", TPM, 6000)], ttl_s=20)
        clock.at += 10
        assert await counters.expire() == 0
        clock.at += 11
        assert await counters.expire() == 1
        levels = await counters.levels([Charge("c", one, 0), Charge("a", TPM, 0)])
        assert levels == [1, pytest.approx(2100, abs=0.1)]

    async def test_taken_counts_everyone(self, store):
        counters, _ = store
        await counters.reserve([Charge("a", TPM, 100)])
        await counters.reserve([Charge("a", TPM, 200)])
        assert (await counters.reserve([Charge("a", TPM, 1)])).taken == 300

    async def test_a_changed_limit_counts_from_the_next_call(self, store):
        counters, _ = store
        await counters.reserve([Charge("a", TPM, 6000)])
        double = Limit(amount=12000, window_s=60)
        assert (await counters.levels([Charge("a", double, 0)]))[0] == pytest.approx(6000, abs=0.1)

    @pytest.mark.parametrize("back", [90.0, 7_200.0, 86_400.0])
    async def test_a_clock_that_is_put_back_starves_nobody(self, store, back):
        counters, clock = store
        fixed = Limit(amount=100, window_s=60, kind="fixed")
        for limit, key in ((fixed, "m"), (TPM, "a")):
            assert (await counters.reserve([Charge(key, limit, limit.amount)])).ticket
        clock.at -= back
        for limit, key in ((fixed, "m"), (TPM, "a")):  # the first to ask finds out; two windows later all is as ever
            await counters.reserve([Charge(key, limit, 1)])
        clock.at += 61
        for _ in range(3):
            clock.at += 61
            for limit, key in ((fixed, "m"), (TPM, "a")):
                assert (await counters.reserve([Charge(key, limit, limit.amount)])).ticket

    async def test_a_clock_that_is_put_right_by_a_little_gives_nothing_twice(self, store):
        counters, clock = store
        fixed = Limit(amount=100, window_s=60, kind="fixed")
        clock.at = 1_000_000_000.0 - 1_000_000_000.0 % 60 + 0.2
        assert (await counters.reserve([Charge("m", fixed, 100)])).ticket
        clock.at -= 0.5
        assert (await counters.reserve([Charge("m", fixed, 1)])).ticket is None
        clock.at += 0.5
        assert (await counters.reserve([Charge("m", fixed, 1)])).ticket is None
