"""The FAQ bot: which of a mix's questions it is asked, and what its weeks come to."""

import msgspec
import pytest

from hapenny.simulation.workload.mix import load
from hapenny.studies.faq_bot import ASKED, narrowed, play


def test_only_questions_about_rules_are_asked_as_often_again_as_the_mix_says():
    whole = load()
    faq = narrowed(whole)
    assert faq is not None
    assert {intent.asks for intent in faq.intents.values()} == set(ASKED)
    assert sum(intent.share for intent in faq.intents.values()) == pytest.approx(1)
    for name, intent in faq.intents.items():
        assert (intent.repeat, intent.rephrase) == (whole.intents[name].repeat, whole.intents[name].rephrase)


def test_a_mix_without_such_questions_plays_nothing():
    whole = load()
    other = {name: intent for name, intent in whole.intents.items() if intent.asks == "stock"}
    assert play(msgspec.structs.replace(whole, intents=other), 20) is None


def test_a_cache_that_stays_closed_changes_no_answer_and_costs_its_evidence():
    bot = play(load(), 150)
    assert bot is not None
    assert bot.before is None
    assert bot.hits == bot.wrong == 0
    assert bot.quality.difference == 0
    assert bot.labels > 0
    assert bot.evidence > 0
    assert bot.saved < 0


@pytest.mark.long
@pytest.mark.timeout(300)
def test_two_weeks_open_the_cache_within_what_was_allowed():
    bot = play(load(), 4_200)
    assert bot is not None
    assert bot.before is not None
    assert bot.hits > 0
    assert bot.wrong <= 0.02 * bot.messages
    assert bot.bound < 0.2
