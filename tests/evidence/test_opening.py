"""Techniques open as evidence bears it, and close when it speaks against them."""

import random

import pytest

from hapenny.evidence.loss_budget import RouteBudget, parts
from hapenny.evidence.opening import Opening
from hapenny.studies import certificates

LIMIT = 0.01


def taught(pairs, worse=0.0, better=0.0, cells=("a", "b"), seed=1):
    """An opening with that many pairs of `fast`, spread over the cells."""
    draw = random.Random(seed)
    opening = Opening("tiers", ["fast", "balanced"])
    for number in range(pairs):
        where = cells[number % len(cells)]
        opening.seen(where, 1.0)
        at = draw.random()
        opening.add(where, "fast", 1.0 if at < worse else -1.0 if at < worse + better else 0.0, 0.1)
        opening.look(LIMIT)
    return opening


def test_nothing_acts_without_evidence():
    opening = Opening("tiers", ["fast"])
    opening.seen("a", 1.0)
    assert not opening.look(LIMIT)
    assert (opening.state, opening.acts("a")) == ("closed", None)


def test_it_opens_wider_as_pairs_come():
    shares = [taught(pairs).part for pairs in (60, 300, 1_200, 4_000)]
    assert shares[0] == 0.0
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert 0 < shares[1] < 1


def test_the_worst_case_of_what_is_open_fits_the_limit():
    opening = taught(1_500, worse=0.02, better=0.02)
    assert opening.state == "open"
    assert opening.bound <= LIMIT + 1e-9
    assert opening.part < 1


def test_a_tier_that_loses_stays_closed_or_all_but():
    opening = taught(3_000, worse=0.2)
    assert opening.share * opening.part < 0.06


def test_only_cells_that_bear_it_are_opened():
    draw = random.Random(2)
    opening = Opening("tiers", ["fast"])
    for number in range(6_000):
        where = ("good", "bad")[number % 2]
        opening.seen(where, 1.0)
        opening.add(where, "fast", float(where == "bad" and draw.random() < 0.3), 0.1)
        opening.look(LIMIT)
    assert opening.policy == {"good": "fast"}
    assert opening.acts("good", 0.5) == "fast"
    assert opening.acts("bad", 0.5) is None


def test_a_share_is_always_left_for_comparison():
    opening = taught(6_000)
    assert opening.part == 1.0
    assert opening.acts("a", 1 - opening.control - 0.01) == "fast"
    assert opening.acts("a", 1 - opening.control + 0.01) is None


def test_worse_answers_suspend_it_and_then_close_it():
    opening = taught(3_000, worse=0.01, better=0.01)
    states = []
    for number in range(200):
        states.append(opening.watch(float(number % 3 == 0), LIMIT))
        if states[-1] == "refuted":
            break
    assert [state for state in states if state] == ["suspended", "refuted"]
    assert len(states) < 60
    assert opening.acts("a") is None


def test_a_suspicion_that_does_not_hold_is_dropped():
    opening = taught(3_000, worse=0.01, better=0.01)
    while opening.watch(1.0, LIMIT) != "suspended":
        pass
    assert opening.acts("a") is None
    assert opening.would("a") == "fast"
    for _ in range(300):
        if opening.watch(0.0, LIMIT) == "open":
            break
    assert opening.acts("a") == "fast"


def test_an_answer_as_often_better_as_worse_raises_no_alarm():
    opening = taught(3_000, worse=0.03, better=0.03)
    draw = random.Random(3)
    refuted = sum(
        opening.watch(1.0 if (at := draw.random()) < 0.03 else -1.0 if at < 0.06 else 0.0, LIMIT) == "refuted"
        for _ in range(500)
    )
    assert refuted == 0


def test_a_refuted_technique_needs_new_evidence_and_outlives_a_restart():
    opening = taught(3_000)
    opening.refute("because")
    again = Opening("tiers", ["fast", "balanced"])
    again.loads(opening.dumps())
    assert (again.state, again.why, again.policy) == ("refuted", "because", {})
    other = Opening("tiers", ["fast"])
    other.loads(opening.dumps())
    assert other.state == "closed"


def test_what_was_learnt_outlives_a_restart():
    opening = taught(3_000)
    again = Opening("tiers", ["fast", "balanced"])
    again.loads(opening.dumps())
    assert again.standing(LIMIT) == opening.standing(LIMIT)
    assert again.acts("a") == "fast"


def test_pairs_are_wanted_where_they_may_open_more():
    opening = Opening("tiers", ["fast", "balanced"])
    draw = random.Random(5)
    for number in range(3_000):
        where, worth = (("dear", 10.0), ("cheap", 1.0))[number % 2]
        opening.seen(where, worth)
        for option, worse, cost in (("fast", 0.25, 0.1), ("balanced", 0.005, 0.3)):
            opening.add(where, option, float(draw.random() < worse), cost * worth)
        opening.look(LIMIT)
    assert opening.wanted("dear", lambda chance: False) == ["balanced"]
    assert opening.interest("dear") == 1.0


def test_an_option_that_costs_more_and_loses_more_is_not_asked_further():
    opening = Opening("tiers", ["fast", "balanced"])
    for number in range(200):
        opening.seen("a", 1.0)
        opening.add("a", "fast", 0.0, 0.1)
        opening.add("a", "balanced", float(number % 10 == 0), 0.3)
    assert opening.wanted("a", lambda chance: True) == ["fast"]


def test_gains_of_one_option_make_room_for_a_cheaper_one():
    draw = random.Random(7)
    opening = Opening("tiers", ["fast", "balanced"])
    for _ in range(8_000):
        where = draw.choice("abcd")
        opening.seen(where, 1.0)
        for option, net in (("fast", 0.02), ("balanced", -0.06)):
            at = draw.random()
            opening.add(where, option, 1.0 if at < 0.03 + net / 2 else -1.0 if at < 0.06 else 0.0, 0.1)
        opening.look(LIMIT)
    assert set(opening.policy) == set("abcd")
    assert opening.bound <= LIMIT + 1e-9


def test_a_limit_that_shrinks_is_kept_at_once():
    opening = taught(4_000, worse=0.02, better=0.016)
    wide = opening.part
    assert opening.look(LIMIT / 4)
    assert opening.part < wide
    assert opening.bound <= LIMIT / 4 + 1e-9


def test_the_budget_of_a_route_is_divided_and_closed_techniques_lend_their_part():
    shared = parts(LIMIT, ["tiers", "semantic", "prune"])
    assert sum(shared.values()) == pytest.approx(LIMIT)
    assert shared["tiers"] > shared["prune"]
    budget = RouteBudget(LIMIT, ["tiers", "semantic", "prune"], {"tiers": ["fast"], "prune": ["on"]})
    assert budget.limit_of("tiers") == pytest.approx(shared["tiers"] + shared["prune"])
    assert budget.limit_of("prune") == shared["prune"]


def test_a_technique_that_stands_aside_lends_its_part_too():
    aside = set()
    budget = RouteBudget(LIMIT, ["tiers", "semantic"], {"tiers": ["fast"]}, aside=aside.__contains__)
    part = budget.limit_of("tiers")
    aside.add("semantic")
    assert part < budget.limit_of("tiers") == pytest.approx(LIMIT)


def test_without_a_judge_nothing_opens_and_that_is_said():
    budget = RouteBudget(LIMIT, ["tiers"], {"tiers": ["fast"]}, judged=False)
    for _ in range(2_000):
        budget.paired("tiers", "a", "fast", 0.0, 0.1)
    assert budget.look(0.0) == []
    [standing] = budget.standings()
    assert (standing.state, "audit_judge" in standing.why) == ("closed", True)


@pytest.mark.parametrize("gains", [True, False])
def test_certificates_of_twenty_intents_hold_together(gains):
    worlds = [certificates.play(seed, pairs=1_500, gains=gains) for seed in range(40)]
    assert sum(world.broken for world in worlds) <= 4
    assert max(world.open for world in worlds) > 0.5
