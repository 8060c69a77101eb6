"""The population follows its mix, and its truth is consistent with the passages and tools it comes with."""

import json
from collections import Counter

import msgspec
import pytest

from hapenny.simulation.workload.catalogue import Catalogue
from hapenny.simulation.workload.mix import load
from hapenny.simulation.workload.requests import answered, context, request
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message, Population

MIX = load()
SHOP = Shop()


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return Population(MIX, SHOP).messages(2500, days=28)


def test_two_runs_are_equal_and_two_seeds_are_not(messages: list[Message]) -> None:
    again = Population(MIX, Shop()).messages(2500, days=28)
    assert msgspec.json.encode(again) == msgspec.json.encode(messages)
    other = Population(MIX, SHOP, seed=8).messages(50)
    assert [each.text for each in other] != [each.text for each in messages[:50]]


def test_right_answers_are_right_and_wrong_ones_wrong(messages: list[Message]) -> None:
    for message in messages:
        item = message.item
        assert item.right
        assert item.wrong, message.intent
        assert all(item.grade(answer) for answer in item.right), (message.text, item.right, item.must)
        if message.intent != "export":  # two volumes can have one price, so that the wrong one is right by chance
            assert not any(item.grade(answer) for answer in item.wrong), (message.text, item.wrong, item.must)
        if item.must:
            assert not item.grade(item.unknown)


def test_the_facts_stand_in_what_retrieval_found_or_the_tool_tells(messages: list[Message]) -> None:
    for message in messages:
        item = message.item
        if item.call is None:
            assert item.stands_in([message.content]), (message.text, item.facts)
            continue
        assert message.tools
        told = SHOP.run(item.call.name, item.call.arguments, message.day)
        assert item.stands_in([json.dumps(told)])
        assert item.called(item.call.name, item.call.arguments)
        assert item.wrong_call is not None
        assert not item.called(item.wrong_call.name, item.wrong_call.arguments)


def test_without_its_passage_a_question_cannot_be_answered(messages: list[Message]) -> None:
    # What holds for a whole series stands in the passages of several of its volumes.
    needing = [each for each in messages if each.documents and each.item.facts and each.intent != "product_info"]
    lost = [
        any(
            not message.item.stands_in([rest for rest in message.documents if rest != passage])
            for passage in message.documents
        )
        for message in needing
    ]
    assert sum(lost) / len(lost) > 0.97


def test_shares_languages_and_repeats_are_those_of_the_mix(messages: list[Message]) -> None:
    shares = Counter(message.intent for message in messages)
    for name, intent in MIX.intents.items():
        assert shares[name] / len(messages) == pytest.approx(intent.share, abs=0.03)
    languages = Counter(message.language for message in messages)
    for language, share in MIX.traffic.languages.items():
        assert languages[language] / len(messages) == pytest.approx(share, abs=0.06)
    returns = [message for message in messages if message.intent == "returns"]
    hows = Counter(message.how for message in returns)
    assert hows["repeat"] / len(returns) == pytest.approx(MIX.intents["returns"].repeat, abs=0.1)
    assert hows["rephrase"] / len(returns) == pytest.approx(MIX.intents["returns"].rephrase, abs=0.12)


def test_a_repeat_is_word_for_word_and_a_rephrase_is_the_same_question(messages: list[Message]) -> None:
    texts: dict[str, Counter[str]] = {}
    for message in messages:
        texts.setdefault(message.item.id, Counter())[message.text] += 1
    for message in messages:
        if message.how == "repeat":
            assert texts[message.item.id][message.text] > 1
        if message.how == "rephrase":
            assert texts[message.item.id].total() > 1


def test_prompts_are_as_long_as_the_mix_says(messages: list[Message]) -> None:
    from hapenny.simulation.tokenizer import tokenizer

    count = tokenizer("claude").count
    for name in ("returns", "product_info", "recommendation"):
        mine = [message for message in messages if message.intent == name]
        documents = sum(sum(map(count, message.documents)) for message in mine) / len(mine)
        assert documents == pytest.approx(MIX.intents[name].tokens.documents * MIX.documents_scale, rel=0.06)
    assert count(messages[0].system) == pytest.approx(620, rel=0.08)


def test_a_follow_up_names_what_it_refers_to(messages: list[Message]) -> None:
    following = [message for message in messages if message.how == "follow_up"]
    assert following
    for message in following:
        assert message.earlier
        assert message.follows in {messages[number].text for number in message.earlier}


def test_a_release_day_brings_a_burst_about_one_volume() -> None:
    release = MIX.traffic.releases[0]
    day = Population(MIX, SHOP).messages(3000, days=1.0, first_day=release.day)
    begin = release.day * 86_400 + release.hour * 3600
    burst = [message for message in day if begin <= message.at < begin + release.minutes * 60]
    before = [message for message in day if begin - release.minutes * 60 <= message.at < begin]
    assert len(burst) > 4 * len(before)
    names = Counter(message.item.id.rsplit("/", 1)[0] for message in burst)
    assert sum(count for _, count in names.most_common(2)) > len(burst) / 2


def test_an_unseen_mix_is_played_as_it_is() -> None:
    rest = {name: msgspec.structs.replace(intent, share=0.0) for name, intent in MIX.intents.items()}
    only = msgspec.structs.replace(MIX.intents["reckoning"], share=1.0, follow_up=0.5)
    mix = msgspec.structs.replace(MIX, intents={**rest, "reckoning": only})
    assert {message.intent for message in Population(mix, SHOP).messages(60)} == {"reckoning"}


def test_the_catalogue_has_its_size_and_changes_from_day_to_day() -> None:
    catalogue = Catalogue()
    assert len(catalogue.series) == 300
    assert len(catalogue.volumes) == 3000
    assert len({series.name for series in catalogue.series}) == 300
    assert len({volume.sku for volume in catalogue.volumes}) == 3000
    assert Catalogue(seed=8).volumes[0].series.name != catalogue.volumes[0].series.name
    now = [catalogue.state(volume, 0) for volume in catalogue.volumes]
    later = [catalogue.state(volume, 5) for volume in catalogue.volumes]
    changed = sum(one != other for one, other in zip(now, later, strict=True)) / len(now)
    assert 0.05 < changed < 0.15


def test_a_message_becomes_a_request_with_its_history_and_tools(messages: list[Message]) -> None:
    message = next(each for each in messages if each.item.call is not None)
    asked = request(message, [("Hello", "Hello, how can I help?")], model="strong")
    assert [turn.role for turn in asked.messages] == ["user", "assistant", "user"]
    assert asked.question == message.text
    assert asked.tools
    after = answered(asked, "c1", "order_status", "{}", {"state": "shipped"})
    assert [turn.role for turn in after.messages[-2:]] == ["assistant", "tool"]
    assert after.question == message.text
    assert context(message).feature is None
    assert context(message, label=True).feature == message.intent
    documents = next(each for each in messages if each.documents)
    assert request(documents, []).question == documents.text
