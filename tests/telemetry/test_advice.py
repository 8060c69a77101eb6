"""Advice from rows: gains with intervals, the largest first, nothing counted twice."""

import pytest

from hapenny.telemetry.advice import EVIDENCE_SHARE, Acted, Watched, advise
from hapenny.telemetry.figures import Ahead, Spent


def test_the_largest_gain_comes_first_and_what_saves_nothing_is_left_out():
    rows = [Watched(100, {"tiers": 60, "prune": 10, "window": 0, "unheard_of": 50})] * 50
    steps, total, _ = advise(rows, paid=5_000)
    assert [step.name for step in steps] == ["tiers", "prune"]
    assert steps[0].saves == 3_000 - EVIDENCE_SHARE * 5_000  # what evidence costs is taken off
    assert steps[0].share == pytest.approx(0.6 - EVIDENCE_SHARE)
    assert total.saves == 50 * (100 - 100 * 0.4 * 0.9) - EVIDENCE_SHARE * 5_000


def test_what_evidence_has_to_open_says_when_and_at_what_cost():
    rows = [Watched(100, {"tiers": 60, "structure": 30})] * 200
    steps, total, underway = advise(rows, paid=20_000, requests=200, seconds=86_400.0)
    tiers, structure = steps
    assert tiers.after > 200
    assert tiers.days == pytest.approx(tiers.after / 200)
    assert f"{tiers.after:,} requests" in tiers.missing
    assert 0 < tiers.costs < 0.1 * 20_000
    assert structure.after == structure.costs == 0
    assert total.at_once == 200 * 30
    assert underway == []


def spent(share: float, ahead: list[Ahead], technique: str = "tiers", route: str = "default") -> Spent:
    state = "open" if share else "closed"
    return Spent(
        route=route, technique=technique, state=state, why="", limit=0.02, bound=0.0, loss=0.0, pairs=90, share=share,
        ahead=ahead,
    )  # fmt: skip


def test_what_is_on_is_advised_no_more_and_says_what_is_open_and_when_more_may_be():
    acted = {("default", "tiers"): Acted(1_000, 100, 100_000, 90_000, 63_000)}
    ahead = [Ahead(0, 0.3, 0.9), Ahead(500, 0.5, 0.9)]
    steps, _, underway = advise(
        [Watched(100, {"tiers": 60})], 70_000, requests=1_000, seconds=86_400.0, budgets=[spent(0.3, ahead)],
        acted=acted,
    )  # fmt: skip
    assert steps == []
    [way] = underway
    assert (way.after, way.days, way.likely) == (500, 0.5, 0.5)
    assert way.gain > 0


def test_more_is_saved_by_what_was_open_for_a_part_of_the_time():
    # Three tenths are open now, a tenth was on average; what is sent to the cheap model costs a tenth in place of .7.
    acted = {("default", "tiers"): Acted(1_000, 100, 100_000, 90_000, 63_000)}
    _, _, [way] = advise([], 70_000, budgets=[spent(0.3, [Ahead(0, 0.3, 0.9)])], acted=acted)
    assert way.gain == pytest.approx(100_000 * 0.2 * (0.9 - 0.3))
    assert way.most == pytest.approx(90_000 * (0.9 - 0.3))


def test_a_route_where_a_step_is_on_says_nothing_of_one_where_it_is_not():
    rows = [Watched(100, {"prune": 20}, "shop"), Watched(100, {"prune": 30}, "desk")] * 50
    steps, _, underway = advise(rows, 10_000, budgets=[spent(0.0, [Ahead(0, 0.0, 0.0)], "prune", "shop")])
    assert [(step.name, step.route) for step in steps] == [("prune", "desk")]
    assert steps[0].what.startswith("desk: ")
    assert [way.route for way in underway] == ["shop"]


def test_few_requests_promise_little():
    many, *_ = advise([Watched(100, {"tiers": 60}), Watched(100, {"tiers": 0})] * 200, paid=40_000)
    few, *_ = advise([Watched(100, {"tiers": 60}), Watched(100, {"tiers": 0})], paid=200)
    assert few[0].low < 0 < few[0].saves
    assert many[0].low > 0.8 * many[0].saves


def test_a_loss_is_no_advice():
    assert advise([Watched(100, {"tiers": -5})] * 10, paid=1_000)[0] == []
    assert advise([], paid=0)[0] == []


def test_what_a_cache_spares_leaves_nothing_for_a_cheaper_model():
    steps, total, _ = advise([Watched(100, {"semantic": 100, "tiers": 60})] * 10, paid=1_000)
    assert total.saves == 1_000 - 30
    assert {step.name: step.saves for step in steps} == {"semantic": 1_000, "tiers": 570}


def test_every_step_says_what_it_saw_and_what_is_missing():
    names = (
        "consent",
        "semantic",
        "semantic:consent",
        "templates",
        "tiers",
        "tiers:auto",
        "prune",
        "window",
        "structure",
    )
    steps, *_ = advise([Watched(100, dict.fromkeys(names, 5))] * 3, paid=300)
    assert {step.name for step in steps} == set(names)
    assert all(step.evidence and step.missing and step.change for step in steps)
