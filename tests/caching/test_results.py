"""Equal answers are kept once, and go stale with their evidence."""

import msgspec
import pytest

from hapenny.caching.edge import Edge
from hapenny.caching.keys import Keys
from hapenny.caching.store import Selector, Store
from hapenny.caching.stored import AnswerDedup, Stored, evidence_tags, result_tag
from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage


def answer(text="we open at nine", id="a", **changes):
    events = (
        Started(id, "m", created=float(len(id))),
        TextDelta(text),
        Stopped("end_turn"),
        Usage(Tokens(input=9, output=4)),
    )
    return msgspec.structs.replace(Stored(events, Tokens(input=9, output=4), "m", "red"), **changes)


@pytest.fixture
def results(clock):
    edge = Edge(clock)
    return AnswerDedup(Keys(b"secret"), Store(clock, 1_000_000), clock, Store(clock, 1_000_000), edge)


def keep(results, key, stored):
    fingerprint = results.fingerprint(stored)
    shared, again = results.share(fingerprint, stored, key)
    results.answers.put(key, shared, 100, 600, (result_tag(fingerprint), *evidence_tags(stored.evidence)))
    return shared, again


def test_equal_answers_under_different_questions_are_one(results):
    first, known = keep(results, b"one", answer())
    assert not known
    again, known = keep(results, b"two", answer(id="other"))
    assert known
    assert again is first
    assert results.stats()["merged"] == 1
    assert results.answers.purge(Selector(tag=result_tag(results.fingerprint(first)))).entries == 2


def test_an_answer_that_left_the_store_is_remembered_but_not_kept(results):
    keep(results, b"one", answer())
    results.answers.purge(Selector())
    other = answer(id="later")
    again, known = keep(results, b"two", other)
    assert known
    assert again is other
    # Its place was taken by another answer: that one is not handed out for it.
    results.answers.put(b"two", answer("we open at ten"), 100, 600)
    third = answer(id="third")
    assert keep(results, b"three", third)[0] is third


@pytest.mark.parametrize(
    "other",
    [
        lambda r: r.fingerprint(answer("we open at ten")),
        lambda r: r.fingerprint(answer(model="n")),
        lambda r: r.fingerprint(answer(tenant="blue")),
        lambda r: r.fingerprint(answer(evidence=(("hours", "2"),))),
        lambda r: r.fingerprint(answer(prompt="2")),
        lambda r: r.fingerprint(answer(), "epoch 8"),
        lambda r: AnswerDedup(Keys(b"another"), r.answers, r.clock).fingerprint(answer()),
    ],
)
def test_everything_that_matters_is_in_the_fingerprint(results, other):
    assert other(results) != results.fingerprint(answer())


def test_evidence_order_does_not_matter(results):
    one = results.fingerprint(answer(evidence=(("a", "1"), ("b", "2"))))
    assert one == results.fingerprint(answer(evidence=(("b", "2"), ("a", "1"))))


def test_answers_go_stale_with_their_evidence(results, clock):
    store = results.answers
    store.put(b"old", answer(), 10, 600, evidence_tags([("hours", "1")]), stale=60)
    store.put(b"new", answer(), 10, 600, evidence_tags([("hours", "2"), ("map", "1")]))
    store.put(b"other", answer(), 10, 600, evidence_tags([("map", "1")]))
    assert results.evidence_changed("hours", "2") == 1
    assert not store.get(b"old").fresh(clock.time)
    assert store.get(b"new").fresh(clock.time)
    assert results.evidence_changed("map") == 2
    assert store.get(b"other") is None  # its route serves nothing stale
    assert results.evidence_changed("map") == 0


def test_a_stale_answer_is_served_no_longer_than_one_past_its_time(results, clock):
    results.answers.put(b"old", answer(), 10, 3_600, evidence_tags([("hours", "1")]), stale=60)
    results.evidence_changed("hours")
    assert results.answers.get(b"old") is not None
    clock.time += 61
    assert results.answers.get(b"old") is None


def test_every_layer_follows_its_documents(results):
    tags = evidence_tags([("hours", "1")])
    results.layers["semantic"].put(b"p", answer(), 10, 600, tags)
    results.edge.publish(b"e" * 32, b"{}", scope="shared", verified=True, tags=tags)
    results.edge.publish(b"f" * 32, b"{}", scope="shared", verified=True, tags=evidence_tags([("map", "1")]))
    assert results.collection_changed("shop", ["hours", "prices"]) == 2
    assert results.edge.get((b"e" * 32).hex()).status == 404
    assert results.edge.get((b"f" * 32).hex()).status == 200
    assert results.stats()["stale"] == 2


def test_where_anything_may_have_changed_all_of_the_collection_goes(results, clock):
    results.answers.put(b"a", answer(), 10, 600, ("collection:shop", *evidence_tags([("hours", "1")])))
    results.answers.put(b"b", answer(), 10, 600, ("collection:other",))
    assert results.collection_changed("shop", None) == 1
    assert results.answers.get(b"b").fresh(clock.time)
    assert not results.current(answer(evidence=(("hours", "1"),)), clock.time)


def test_an_answer_under_way_while_its_document_changes_is_not_kept(results, clock):
    asked = clock.time
    clock.time += 1
    results.evidence_changed("hours")
    assert not results.current(answer(evidence=(("hours", "1"), ("map", "1"))), asked)
    assert results.current(answer(evidence=(("map", "1"),)), asked)
    assert results.current(answer(evidence=(("hours", "2"),)), clock.time + 1)
