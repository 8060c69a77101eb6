"""Parameter sets on real cards of the catalog."""

import pytest

from hapenny.catalog import default, refusals
from hapenny.core.messages import Parameters, Thinks
from hapenny.tuning.sets import LENGTHS, SETS, ParameterSet, resolve

CHAT = [card for card in default().cards.values() if card.kind == "chat"]


def first(test):
    return next(card for card in CHAT if test(card))


def test_no_set_makes_a_request_that_any_model_refuses():
    for card in CHAT:
        for chosen in SETS.values():
            done = resolve(chosen, card)
            assert not refusals(card, done.parameters, card.id), (card.id, done)


def test_temperature_becomes_effort_where_it_is_refused():
    card = first(lambda c: c.sampling.temperature == "no" and "low" in c.efforts)
    done = resolve(SETS["classification"], card)
    assert done.parameters.temperature is None
    assert done.parameters.effort == "low"
    note = next(change.note() for change in done.changes if change.name == "temperature")
    assert "temperature=0" in note
    assert "effort=low" in note


def test_temperature_alone_unless_the_set_says_both():
    card = first(lambda c: c.sampling.temperature == "any" and c.sampling.both and c.sampling.top_p)
    one = resolve(SETS["chat"], card)
    assert (one.parameters.temperature, one.parameters.top_p) == (0.5, None)
    assert [c.refused for c in one.changes if c.name == "top_p"] == [False]
    both = resolve(ParameterSet(temperature=0.5, top_p=0.7, both=True), card)
    assert (both.parameters.temperature, both.parameters.top_p) == (0.5, 0.7)
    assert not both.changes


def test_both_are_never_sent_where_a_model_refuses_them_together():
    card = first(lambda c: c.sampling.temperature == "any" and not c.sampling.both)
    done = resolve(ParameterSet(temperature=0.5, top_p=0.7, both=True), card)
    assert done.parameters.top_p is None
    assert done.changes[0].refused


def test_the_client_goes_first():
    card = first(lambda c: c.sampling.temperature == "any" and c.sampling.top_p)
    done = resolve(SETS["creative"], card, Parameters(top_p=0.4, max_tokens=77))
    assert (done.parameters.temperature, done.parameters.top_p, done.parameters.max_tokens) == (None, 0.4, 77)
    forced = resolve(ParameterSet(temperature=0.1, override=True), card, Parameters(temperature=0.9))
    assert forced.parameters.temperature == 0.1


def test_length_is_the_learned_size_or_the_default():
    card = first(lambda c: c.max_output is None or c.max_output >= 4_096)
    assert resolve(SETS["summarization"], card).parameters.max_tokens == LENGTHS["medium"]
    assert resolve(SETS["summarization"], card, learned=210).parameters.max_tokens == 210


def test_unknown_models_are_taken_as_strict_by_their_name():
    done = resolve(SETS["code"], None, model="anthropic.claude-opus-9")
    assert done.parameters.temperature is None
    assert done.changes


@pytest.mark.parametrize(
    "client",
    [
        Parameters(temperature=2.0),
        Parameters(top_k=40, temperature=1.0, top_p=0.2),
        Parameters(effort="xhigh"),
        Parameters(max_tokens=10_000_000),
        Parameters(thinking=Thinks(budget=100), max_tokens=5_000),
        Parameters(thinking=Thinks(budget=9_000), max_tokens=5_000),
        Parameters(thinking=Thinks(kind="disabled")),
        Parameters(seed=3, presence_penalty=0.4),
    ],
)
def test_whatever_a_client_sends_ends_up_acceptable_and_told(client):
    for card in CHAT:
        done = resolve(None, card, client)
        assert not refusals(card, done.parameters, card.id), (card.id, client)
        assert bool(done.changes) == (done.parameters != client)
