"""Advice from rows: gains with intervals, the largest first, nothing counted twice."""

import pytest

from hapenny.telemetry.advice import AUDITED, Watched, advise


def test_the_largest_gain_comes_first_and_what_saves_nothing_is_left_out():
    rows = [Watched(100, {"tiers": 60, "prune": 10, "window": 0, "unheard_of": 50})] * 50
    steps, total = advise(rows, paid=5_000)
    assert [step.name for step in steps] == ["tiers", "prune"]
    assert steps[0].saves == 3_000 - AUDITED * 5_000  # what comparing its answers costs is taken off
    assert steps[0].share == pytest.approx(0.6 - AUDITED)
    assert total.saves == 50 * (100 - 100 * 0.4 * 0.9) - AUDITED * 5_000


def test_few_requests_promise_little():
    many, _ = advise([Watched(100, {"tiers": 60}), Watched(100, {"tiers": 0})] * 200, paid=40_000)
    few, _ = advise([Watched(100, {"tiers": 60}), Watched(100, {"tiers": 0})], paid=200)
    assert few[0].low < 0 < few[0].saves
    assert many[0].low > 0.8 * many[0].saves


def test_a_loss_is_no_advice():
    assert advise([Watched(100, {"tiers": -5})] * 10, paid=1_000)[0] == []
    assert advise([], paid=0)[0] == []


def test_what_a_cache_spares_leaves_nothing_for_a_cheaper_model():
    steps, total = advise([Watched(100, {"semantic": 100, "tiers": 60})] * 10, paid=1_000)
    assert total.saves == 1_000 - 10
    assert {step.name: step.saves for step in steps} == {"semantic": 1_000, "tiers": 590}


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
    steps, _ = advise([Watched(100, dict.fromkeys(names, 5))] * 3, paid=300)
    assert {step.name for step in steps} == set(names)
    assert all(step.evidence and step.missing and step.change for step in steps)
