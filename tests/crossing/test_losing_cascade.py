"""A cascade whose cheap models are asked in vain closes itself, and tries again later."""

from hapenny.evidence.earnings import ASIDE, LEAST
from tests.crossing.house import house
from tests.crossing.test_cascade_flights import CASCADE, TIERS, agreeing, disagreeing
from tests.settling import settled


async def test_a_cascade_that_always_climbs_stands_aside():
    async with house(disagreeing, CASCADE) as there:
        for number in range(LEAST):
            await there.ask(f"What colour is number {number}?", model="auto")
        await settled(there.gateway)
        before = len(there.shop.asked)
        await there.ask("What colour is the last one?", model="auto")
        assert there.shop.models[before:] == [TIERS["strong"]]
        assert there.gateway.shared.earnings.aside() == {"default": ["cascade"]}


async def test_a_cascade_that_pays_goes_on():
    async with house(agreeing, CASCADE) as there:
        for number in range(LEAST + 5):
            await there.ask(f"What colour is number {number}?", model="auto")
        await settled(there.gateway)
        assert set(there.shop.models) == {TIERS["fast"], TIERS["balanced"]}
        assert there.gateway.shared.earnings.aside() == {}


async def test_it_tries_again():
    async with house(disagreeing, CASCADE) as there:
        for number in range(LEAST):
            await there.ask(f"What colour is number {number}?", model="auto")
        await settled(there.gateway)
        earnings = there.gateway.shared.earnings
        assert sum(earnings.off("default", "cascade") for _ in range(2 * ASIDE)) == ASIDE
        before = len(there.shop.asked)
        await there.ask("What colour is the last one?", model="auto")
        assert there.shop.models[before:] == [TIERS["fast"], TIERS["balanced"], TIERS["strong"]]
