"""An application that names one model everywhere is routed where the operator says so."""

import pytest

from hapenny.config import CARD_TIERS, ConfigError, load
from tests.crossing.house import CONFIG, house

TIERS = CARD_TIERS["manga-2024"]
NAMED = "anthropic.claude-3-5-sonnet-20240620-v1:0"
EASY = "hi"
HARD = "Prove step by step that the square root of two is irrational, derive a bound on the error of each convergent, "
HARD += (
    "compare both algorithms, and then plan an implementation in Rust that refutes the opposite; explain every step."
)


def treated(what: str, stages: str = "tiers: on") -> str:
    return CONFIG.replace("p7}", f"p7, treat_as: {{'{NAMED}': {what}}}, stages: {{{stages}}}}}")


async def test_easy_questions_go_to_a_cheap_tier_and_hard_ones_to_the_model_that_was_named():
    async with house(config=treated("auto")) as there:
        for question, model in ((EASY, TIERS["fast"]), (HARD, NAMED)):
            _, exchange = await there.ask(question, model=NAMED)
            assert there.shop.models[-1] == model
            assert exchange.baseline.model == NAMED
            assert "treated-as=auto" in exchange.notes


async def test_a_tier_may_stand_for_the_model():
    async with house(config=treated("fast")) as there:
        await there.ask(HARD, model=NAMED)
        assert there.shop.models == [TIERS["fast"]]


@pytest.mark.parametrize("mode", ["shadow", "'off'"])
async def test_without_routing_the_named_model_answers(mode):
    async with house(config=treated("auto", f"tiers: {mode}")) as there:
        await there.ask(EASY, model=NAMED)
        assert there.shop.models == [NAMED]


async def test_other_models_are_what_they_are():
    async with house(config=treated("auto")) as there:
        _, exchange = await there.ask(EASY, model=TIERS["strong"])
        assert there.shop.models == [TIERS["strong"]]
        assert not exchange.notes


async def test_answers_of_either_treatment_are_kept_apart():
    async with house(config=treated("auto", "tiers: on, exact: on")) as there:
        await there.ask(EASY, model=NAMED)
        await there.ask(EASY, model="auto")
        assert len(there.shop.asked) == 2


def test_what_it_is_treated_as_must_be_a_name_of_ours():
    with pytest.raises(ConfigError) as error:
        load(text="routes: {default: {treat_as: {gpt-4o: max}}}\ntiers: {fast: a, strong: b}")
    assert any("treat_as.gpt-4o" in each and "Fix:" in each for each in error.value.problems)
