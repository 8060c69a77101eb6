"""Retrieval sized to the question keeps what the answer rests on."""

from hapenny.simulation.workload.mix import load
from hapenny.simulation.workload.shop import estimate
from hapenny.simulation.workload.shoppers import Population
from mangaassist.context import is_record, sized
from mangaassist.recognise import Titles

RECORD = "Paper Cranes, volume 3 (KB-10003)\nPrice: 8.90 euros."
OTHER = "Neon Shrine, volume 1 (KB-20001)\nPrice: 7.10 euros."
SHIPPING = "Shipping\nExpress delivery costs 9.50 euros."
RETURNS = "Returns\nUnread volumes can be sent back within 30 days."
PASSAGES = [OTHER, RETURNS, RECORD, SHIPPING]
TITLES = Titles([("Paper Cranes", "S1"), ("Neon Shrine", "S3"), ("Glass Ferry", "S9")])


def test_a_title_keeps_its_records_and_the_pages_that_share_words():
    assert sized(PASSAGES, "What does Paper Cranes cost by express?", TITLES) == [RECORD, SHIPPING]


def test_a_rule_keeps_pages_alone():
    assert sized(PASSAGES, "How long may I keep a book before sending it back?", TITLES) == [RETURNS, SHIPPING]


def test_advice_keeps_records_alone():
    assert sized(PASSAGES, "Please recommend a drama for my son", TITLES) == [OTHER, RECORD]


def test_a_question_without_a_title_goes_on_about_the_last_one():
    assert sized(PASSAGES, "And who drew it?", TITLES, ["S1"]) == [RETURNS, RECORD, SHIPPING]


def test_where_the_title_was_not_found_nothing_is_left_out():
    assert sized(PASSAGES, "Who wrote Glass Ferry?", TITLES) == PASSAGES


def test_facts_stay_on_the_workload():
    population = Population(load(), seed=5)
    titles = Titles((name, each.id) for each in population.shop.catalogue.series for name in each.names.values())
    spoken: dict[str, tuple[str, ...]] = {}
    asked = lost = before = after = 0
    for message in population.messages(1_200, 0.03):
        named = titles.named(message.text).series
        if message.documents and message.item.facts:
            kept = sized(message.documents, message.text, titles, spoken.get(message.session, ()))
            asked += 1
            lost += not message.item.stands_in(kept)
            before, after = before + sum(map(estimate, message.documents)), after + sum(map(estimate, kept))
        if named:
            spoken[message.session] = named
    assert lost <= asked * 0.005
    assert after < before * 0.6


def test_what_is_a_record_is_told_by_its_first_line():
    assert is_record(RECORD)
    assert not is_record(SHIPPING)
