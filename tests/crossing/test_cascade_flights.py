"""The cascade under coalescing: one cascade for all who ask the same at once, and all are told who answered."""

import asyncio

import pytest

from hapenny.config import CARD_TIERS
from hapenny.gateway.cache_admin import Invalidation
from hapenny.telemetry.headers import served_model
from tests.crossing.house import CONFIG, house, until
from tests.settling import settled

TIERS = CARD_TIERS["manga-2024"]
CASCADE = CONFIG.replace("embedder: hashed}", "embedder: hashed}, cascade: {intents: ['*']}").replace(
    "p7}", "p7, stages: {cascade: on}}"
)


def agreeing(request, target):
    return "Blue."


def disagreeing(request, target):
    return {TIERS["fast"]: "Blue.", TIERS["balanced"]: "Green."}.get(target.model, "Red.")


@pytest.mark.parametrize(
    ("says", "text", "who", "calls"), [(agreeing, "Blue.", "fast", 2), (disagreeing, "Red.", "strong", 3)]
)
async def test_those_who_ask_the_same_at_once_share_one_cascade(says, text, who, calls):
    async with house(says, CASCADE) as there:
        there.shop.gate = asyncio.Event()
        asked = [asyncio.ensure_future(there.ask(model="auto")) for _ in range(3)]
        await until(lambda: len(there.shop.asked) == 2)
        there.shop.gate.set()
        answers = await asyncio.gather(*asked)
        await settled(there.gateway)
        assert len(there.shop.asked) == calls
        assert {answer for answer, _ in answers} == {text}
        assert {served_model(exchange) for _, exchange in answers} == {TIERS[who]}
        money = [there.gateway.totals(exchange) for _, exchange in answers]
        assert sorted(each.actual > 0 for each in money) == [False, False, True]


@pytest.mark.parametrize(("says", "who"), [(agreeing, "fast"), (disagreeing, "strong")])
async def test_the_answer_is_kept_under_the_model_that_gave_it(says, who):
    async with house(says, CASCADE) as there:
        await there.ask(model="auto")
        before = len(there.shop.asked)
        _, again = await there.ask(model="auto")
        assert len(there.shop.asked) == before
        assert again.cache.layer == "exact"
        assert served_model(again) == TIERS[who]
        gone = there.gateway.admin.invalidate(Invalidation(tag=f"model:{TIERS[who]}"), "default")
        assert gone["exact"]["entries"] == 1
