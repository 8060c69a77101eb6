"""Equal answers are kept once, and go stale with their evidence."""

import msgspec
import pytest

from hapenny.caching.exact import Stored, evidence_tags
from hapenny.caching.keys import Keys
from hapenny.caching.results import Results
from hapenny.caching.store import Store
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
    return Results(Keys(b"secret"), Store(clock, 1_000_000))


def test_equal_answers_under_different_questions_are_one(results):
    first, known = results.share(results.fingerprint(answer()), answer())
    assert not known
    again, known = results.share(results.fingerprint(answer(id="other")), answer(id="other"))
    assert known
    assert again is first
    assert results.merged == 1


@pytest.mark.parametrize(
    "other",
    [
        lambda r: r.fingerprint(answer("we open at ten")),
        lambda r: r.fingerprint(answer(model="n")),
        lambda r: r.fingerprint(answer(tenant="blue")),
        lambda r: r.fingerprint(answer(), evidence=[("hours", "2")]),
        lambda r: r.fingerprint(answer(), prompt_version="2"),
        lambda r: Results(Keys(b"another"), r._answers).fingerprint(answer()),
    ],
)
def test_everything_that_matters_is_in_the_fingerprint(results, other):
    assert other(results) != results.fingerprint(answer())


def test_evidence_order_does_not_matter(results):
    one = results.fingerprint(answer(), evidence=[("a", "1"), ("b", "2")])
    assert one == results.fingerprint(answer(), evidence=[("b", "2"), ("a", "1")])


def test_answers_go_stale_with_their_evidence(results, clock):
    store = results._answers
    store.put(b"old", answer(), 10, 600, evidence_tags([("hours", "1")]), stale=60)
    store.put(b"new", answer(), 10, 600, evidence_tags([("hours", "2"), ("map", "1")]))
    store.put(b"other", answer(), 10, 600, evidence_tags([("map", "1")]))
    assert results.evidence_changed("hours", "2") == 1
    assert not store.get(b"old").fresh(clock.time)
    assert store.get(b"new").fresh(clock.time)
    assert results.evidence_changed("map") == 2
    assert not store.get(b"other").fresh(clock.time)
    assert results.evidence_changed("map") == 0
