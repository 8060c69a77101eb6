"""Parameters that a model refuses are translated or left out before they are sent, and the difference is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.catalog import default, refusals, resolve
from hapenny.catalog.fitting import BUDGETS, LEAST_BUDGET, budget_of, effort_of, fit
from hapenny.core.messages import Parameters, Thinks

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
CHATS = [card for card in default().cards.values() if card.kind == "chat"]


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh"])
def test_effort_and_budget_mean_each_other(effort):
    budget = budget_of(effort, None)
    assert budget == BUDGETS[effort] >= LEAST_BUDGET
    assert effort_of(Thinks("enabled", budget)) == effort


def test_higher_effort_thinks_at_least_as_much():
    budgets = list(BUDGETS.values())
    assert budgets == sorted(budgets)


@pytest.mark.parametrize(
    ("thinks", "effort"),
    [
        (Thinks("disabled"), "none"),
        (Thinks("adaptive"), "medium"),
        (Thinks("enabled", 1_024), "minimal"),
        (Thinks("enabled", 3_000), "low"),
        (Thinks("enabled", 10_000), "medium"),
        (Thinks("enabled", 16_000), "high"),
        (Thinks("enabled", 200_000), "xhigh"),
    ],
)
def test_a_budget_is_the_nearest_effort(thinks, effort):
    assert effort_of(thinks) == effort


@pytest.mark.parametrize(
    ("effort", "max_tokens", "budget"),
    [
        ("high", 10_000, 8_000),
        ("high", 1_200, None),
        ("none", None, None),
        ("high", 1_280, 1_024),
        ("low", None, 2_048),
    ],
)
def test_the_answer_keeps_its_room(effort, max_tokens, budget):
    assert budget_of(effort, max_tokens) == budget


def test_an_effort_becomes_a_budget_where_a_model_thinks_by_budget():
    card = resolve(SONNET)
    found = fit(card, Parameters(effort="high", max_tokens=30_000), effort_thinks=True)
    assert found.parameters == Parameters(thinking=Thinks("enabled", 16_384), max_tokens=30_000)
    (change,) = found.changes
    assert change.note().startswith("effort=high said as thinking=enabled(16384)")
    without = fit(card, Parameters(effort="low"), effort_thinks=True).parameters
    assert without.thinking == Thinks("enabled", 2_048)
    assert without.max_tokens > without.thinking.budget
    narrow = fit(card, Parameters(effort="high", max_tokens=500), effort_thinks=True)
    assert narrow.parameters == Parameters(max_tokens=500)
    assert "leaves no room" in narrow.changes[0].note()


@pytest.mark.parametrize(("model", "sent"), [("amazon.nova-2-lite-v1:0", None), ("openai.gpt-oss-120b-1:0", "low")])
def test_no_reasoning_at_all_is_the_lowest_effort_only_where_a_model_always_reasons(model, sent):
    found = fit(resolve(model), Parameters(effort="none"), effort_thinks=True)
    assert found.parameters.effort == sent
    assert len(found.changes) == 1


def test_a_budget_becomes_an_effort_where_a_model_knows_efforts():
    card = resolve("gpt-5.2")
    found = fit(card, Parameters(thinking=Thinks("enabled", 10_000), max_tokens=20_000))
    assert found.parameters.effort == "medium"
    assert found.parameters.thinking is None
    assert "said as effort=medium" in found.changes[0].note()


def test_an_effort_says_how_much_where_a_model_cannot_choose_by_itself():
    asked = Parameters(thinking=Thinks("adaptive"), effort="high", max_tokens=40_000)
    found = fit(resolve(SONNET), asked).parameters
    assert (found.thinking, found.effort) == (Thinks("enabled", BUDGETS["high"]), None)
    bare = fit(resolve(SONNET), Parameters(thinking=Thinks("adaptive"), max_tokens=40_000)).parameters
    assert bare.thinking == Thinks("enabled", BUDGETS["medium"])


def test_a_wish_not_to_think_never_becomes_a_wish_to_think():
    found = fit(resolve("claude-opus-4-6"), Parameters(effort="none", max_tokens=100), effort_thinks=True)
    assert (found.parameters.thinking, found.parameters.effort) == (Thinks("disabled"), None)
    assert "effort=none said as thinking=disabled" in found.changes[0].note()


def test_a_wish_to_think_never_becomes_a_wish_not_to():
    found = fit(resolve("gpt-5.2"), Parameters(thinking=Thinks("enabled", 1_024), max_tokens=20_000))
    assert found.parameters.effort == "low"


def test_anthropics_effort_is_no_wish_to_think():
    found = fit(resolve(SONNET), Parameters(effort="high", max_tokens=30_000))
    assert found.parameters.thinking is None


def test_what_a_model_takes_is_left_as_it_is():
    asked = Parameters(temperature=0.2, max_tokens=100, stop=("x",))
    found = fit(resolve(SONNET), asked)
    assert found.parameters is asked
    assert found.changes == ()


VALUES = st.builds(
    Parameters,
    max_tokens=st.none() | st.integers(0, 500_000),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(1, 500),
    stop=st.lists(st.text(max_size=3), max_size=6).map(tuple),
    seed=st.none() | st.integers(0, 9),
    effort=st.none() | st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
    thinking=st.none()
    | st.builds(Thinks, st.sampled_from(["enabled", "disabled", "adaptive"]), st.none() | st.integers(1, 100_000)),
    verbosity=st.none() | st.sampled_from(["low", "high"]),
    presence_penalty=st.none() | st.floats(-2, 2),
)


@settings(max_examples=400, deadline=None)
@given(card=st.sampled_from(CHATS), asked=VALUES, thinks=st.booleans())
def test_fitted_parameters_are_taken_and_every_change_is_told(card, asked, thinks):
    found = fit(card, asked, effort_thinks=thinks)
    assert {one.name for one in refusals(card, found.parameters)} <= {"n", "stop"}
    changed = {
        name
        for name in ("temperature", "top_p", "top_k", "seed", "effort", "thinking", "verbosity", "presence_penalty")
        if getattr(found.parameters, name) != getattr(asked, name)
    }
    told = {change.name for change in found.changes} | {change.instead.partition("=")[0] for change in found.changes}
    assert changed <= told
    assert all(change.note() for change in found.changes)
    assert fit(card, found.parameters, effort_thinks=thinks).changes == ()
