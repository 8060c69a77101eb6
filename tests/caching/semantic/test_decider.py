"""Starts closed, opens on evidence, closes on violation."""

import random

import msgspec
import numpy as np
import pytest

from hapenny.caching.semantic.bound import NO_EVIDENCE, Evidence, threshold
from hapenny.caching.semantic.decider import Decider, Looked, Promise
from hapenny.caching.semantic.features import Neighbour
from hapenny.caching.semantic.memory import Memory
from hapenny.caching.semantic.terms import Variety, contradiction, read
from tests.caching.conftest import HandClock


def drive(decider, memory, requests, *, quality, seed=1):
    """Traffic in which near neighbours (cosine .95) are right with chance `quality`, far ones (.6) are wrong."""
    chance = random.Random(seed)
    served = wrong = 0
    for at in range(requests):
        good = chance.random() < 0.6
        terms = read(f"question about topic {'abcdefgh'[at % 8]} {'now' if good else 'unrelated words here'}")
        right = chance.random() < (quality if good else 0.02)
        near = []
        if len(memory):
            entries = list(memory)[-8:]
            near = memory.neighbours(
                entries, [0.95 - 0.01 * i if good else 0.6 - 0.01 * i for i in range(len(entries))]
            )
        looked = decider.look(terms, near, memory)
        if looked.action == "serve":
            served += 1
            wrong += not right
            continue
        steps = decider.verify(looked, memory)
        answer = None
        try:
            next(steps)
            while True:
                steps.send(right)
        except StopIteration as done:
            answer = done.value
        if at < 200:
            memory.add(at, terms, answer)
    return served, wrong


def sure_and_wrong(decider, memory):
    """A hit that looks as good as any and is reported wrong."""
    terms = read("question about topic a now")
    near = memory.neighbours(list(memory)[-8:], [0.95 - 0.01 * i for i in range(8)])
    looked = decider.look(terms, near, memory)
    return Looked("serve", looked.near, looked.candidate, looked.score, looked.error)


def test_starts_closed():
    decider, memory = Decider(Promise(), HandClock()), Memory()
    memory.add(0, read("when do you open"))
    looked = decider.look(read("when do you open"), [Neighbour(0, 1.0, 0, read("when do you open"))], memory)
    assert looked.action == "miss"
    assert not decider.stats().open


def test_opens_on_evidence_and_keeps_the_promise():
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    served, wrong = drive(decider, memory, 3000, quality=0.99)
    assert served > 600
    assert wrong / 3000 <= 0.02


def test_stays_closed_where_neighbours_lie():
    decider, memory = Decider(Promise(max_error=0.01), HandClock()), Memory()
    served, _ = drive(decider, memory, 2000, quality=0.7)
    assert served <= 20


def test_closes_at_once_on_a_violation():
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    drive(decider, memory, 3000, quality=0.995)
    assert decider.stats().open
    wrong = sure_and_wrong(decider, memory)
    for _ in range(40):
        decider.report_wrong(wrong)
    stats = decider.stats()
    assert not stats.open
    assert stats.closures >= 1
    assert stats.closed_because in ("violation", "labels speak against the promise")


def test_serves_less_when_answers_turn_wrong():
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    before, _ = drive(decider, memory, 3000, quality=0.995)
    after, _ = drive(decider, memory, 3000, quality=0.3, seed=2)
    assert after < before / 2


def test_closing_for_another_embedder_forgets_the_model():
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    drive(decider, memory, 3000, quality=0.995)
    decider.close("embedder changed", forget=True)
    assert not decider.stats().open
    assert decider.stats().closed_because == "embedder changed"
    assert drive(decider, memory, 40, quality=0.995)[0] == 0


@pytest.mark.parametrize("seed", range(3))
def test_answers_that_all_turn_wrong_are_soon_served_no_more(seed):
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    drive(decider, memory, 3000, quality=0.995, seed=seed)
    _, first = drive(decider, memory, 500, quality=0.0, seed=10 + seed)
    _, later = drive(decider, memory, 1000, quality=0.0, seed=20 + seed)
    assert first < 150
    assert later < 50


def test_wrong_audits_close_without_any_report():
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    drive(decider, memory, 3000, quality=0.995)
    drive(decider, memory, 600, quality=0.0, seed=2)
    stats = decider.stats()
    assert stats.closures >= 1
    assert stats.audits_wrong > 0


def test_a_closed_route_reopens_on_new_evidence_and_keeps_its_promise():
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    drive(decider, memory, 3000, quality=0.995)
    decider.close("policy changed")
    assert drive(decider, memory, 15, quality=0.995, seed=2)[0] == 0
    served, wrong = drive(decider, memory, 3000, quality=0.995, seed=3)
    assert served > 300
    assert wrong / 3000 <= 0.02


def test_a_stricter_caller_is_served_less_and_never_more():
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    drive(decider, memory, 3000, quality=0.99)
    terms = read("question about topic a now")
    near = memory.neighbours(list(memory)[-8:], [0.95 - 0.01 * i for i in range(8)])

    def served(limit):
        return sum(decider.look(terms, near, memory, max_error=limit).action != "miss" for _ in range(20))

    assert served(None) == served(0.5) == 20
    assert served(0.0001) == served(0.0) == 0
    assert served(None) == 20


def test_reported_hits_close_the_cache():
    decider, memory = Decider(Promise(max_error=0.01, max_wrong_hits=None), HandClock()), Memory()
    drive(decider, memory, 3000, quality=0.995)
    before = decider.stats().threshold
    wrong = sure_and_wrong(decider, memory)
    for _ in range(25):
        decider.report_wrong(wrong)
    assert decider.stats().threshold < before


def test_audits_stay_within_their_share():
    decider, memory = Decider(Promise(max_error=0.05, max_wrong_hits=None, audit_share=0.1), HandClock()), Memory()
    drive(decider, memory, 4000, quality=0.995)
    stats = decider.stats()
    assert 0.06 < stats.audits / (stats.hits + stats.audits) < 0.14


@pytest.mark.parametrize("field", ["max_error", "confidence", "audit_share", "max_wrong_hits"])
def test_senseless_promises_are_refused(field):
    with pytest.raises(ValueError, match=field):
        Promise(**{field: 1.5})


def evidence(score, count, wrong):
    return Evidence(np.full(count, score), np.arange(count) < wrong)


def test_the_threshold_needs_labels_in_its_own_region():
    scores = np.full(1000, 0.0005)
    rest = {"max_error": 0.01, "max_wrong_hits": None, "z": 1.645}
    assert threshold(NO_EVIDENCE, scores, 1000, **rest) == 0.0
    assert threshold(evidence(0.5, 400, 0), scores, 1000, **rest) == 0.0
    assert threshold(evidence(0.0005, 400, 0), scores, 1000, **rest) == pytest.approx(0.0005)
    assert threshold(evidence(0.0005, 420, 20), scores, 1000, **rest) == 0.0


def test_the_stricter_limit_binds():
    labels, scores = evidence(0.05, 400, 40), np.full(50, 0.05)
    assert threshold(labels, scores, 1000, max_error=0.05, max_wrong_hits=None, z=1.645) > 0
    assert threshold(labels, scores, 1000, max_error=0.05, max_wrong_hits=0.05, z=1.645) == 0.0


def test_labels_count_for_the_traffic_they_stand_for():
    """Misses are all verified, hits by audits alone: doubtful labels crowd, but 20 requests in 1,000 are doubtful."""
    labels = Evidence(np.repeat([0.001, 0.05], [60, 200]), np.concatenate([np.zeros(60), np.arange(200) < 20]))
    scores = np.repeat([0.001, 0.05], [500, 20])
    rest = {"max_error": 0.01, "max_wrong_hits": None, "z": 1.645}
    assert threshold(labels, scores, 1000, **rest) == pytest.approx(0.05)
    assert threshold(labels, np.repeat([0.001, 0.05], [20, 500]), 1000, **rest) < 0.05


def test_the_bound_is_wider_where_labels_are_few():
    scores = np.full(300, 0.01)
    widths = [evidence(0.01, count, count // 50).below(scores, 1.0)[-1] for count in (50, 200, 1000)]
    assert widths[0] > widths[1] > widths[2] > 300 / 50


def test_nothing_is_served_that_is_wrong_one_time_in_three():
    rest = {"max_error": 0.05, "max_wrong_hits": None, "z": 1.645}
    assert threshold(evidence(0.4, 400, 160), np.full(30, 0.4), 1000, **rest) == 0.0
    assert threshold(evidence(0.01, 400, 300), np.full(30, 0.01), 1000, **rest) == 0.0


def test_what_a_judge_hides_is_priced_in():
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    drive(decider, memory, 3000, quality=0.99)
    before = decider.stats().threshold
    decider.hidden = 0.9
    drive(decider, memory, 40, quality=0.99)
    assert decider.stats().threshold < before


def test_labels_scored_without_themselves_are_less_sure():
    """The model that learnt a label is surer of it than one that did not."""
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    drive(decider, memory, 400, quality=0.9)
    model = decider.model
    scores, wrong = model.evidence()
    seen = model.errors(model.rows[: len(scores)])
    assert scores[wrong == 1].mean() < seen[wrong == 1].mean()
    assert scores[wrong == 0].mean() > seen[wrong == 0].mean()


def test_a_decider_goes_on_after_a_restart():
    decider, memory = Decider(Promise(max_error=0.02, max_wrong_hits=None), HandClock()), Memory()
    drive(decider, memory, 3000, quality=0.995)
    heir = Decider(decider.promise, HandClock())
    heir.loads(decider.dumps())
    assert heir.stats().open
    assert heir.dumps() == decider.dumps()
    assert heir.stats().threshold == pytest.approx(decider.stats().threshold, rel=0.2)
    with pytest.raises(msgspec.MsgspecError):
        heir.loads(b"nonsense")


@pytest.mark.parametrize(
    ("asked", "stored", "why"),
    [
        ("order 12", "order 13", "number"),
        ("I do not want it", "I do want it", "negation"),
        ("increase my limit", "decrease my limit", "opposite"),
        ("from rome to oslo", "from oslo to rome", "order"),
        ("when do you open", "when do you open?", ""),
        ("when do you open today", "when do you open", ""),
    ],
)
def test_contradictions(asked, stored, why):
    assert contradiction(read(asked), read(stored), Variety()) == why


def test_verified_variety_lifts_a_contradiction():
    seen = Variety()
    for text in (
        "my card did not come",
        "my card is late by 2 weeks",
        "card late 5 days",
        "card not here after 9 days",
    ):
        seen.add(read(text))
    assert contradiction(read("card late 7 days"), read("my card is late by 2 weeks"), seen) == ""
    assert contradiction(read("card from rome to oslo"), read("card from oslo to rome"), seen) == "order"


def test_scripts_without_spaces_have_terms_too():
    assert len(read("注文はどこですか").stems) >= 5
    assert read("注文 12 はどこ").numbers == {"12"}
