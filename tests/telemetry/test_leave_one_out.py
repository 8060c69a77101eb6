"""Leave-one-out: what each technique saves that would be lost without it, within a request and over the ledger."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.clock import RealClock
from hapenny.core.exchange import Target
from hapenny.telemetry.leave_one_out import Part, alone
from hapenny.telemetry.ledger import Ledger, LedgerOptions
from hapenny.telemetry.summary import summarise
from tests.telemetry import made

amounts = st.integers(1, 10**9)


@given(amounts, amounts, amounts, amounts)
def test_of_one_technique_it_is_what_the_waterfall_says(prompt, output, cheaper, shorter):
    parts = [Part("", prompt, output), Part("tiers", cheaper, shorter)]
    saved = alone(parts, []).get("tiers", 0)
    assert saved == pytest.approx(prompt + output - cheaper - shorter, abs=2)


def test_two_that_save_by_factors_each_keep_what_the_other_leaves():
    # Half the prompt by pruning, a tenth of the rates by the cheaper model: the order does not matter.
    first = alone([Part("", 1_000, 400), Part("prune", 500, 400), Part("tiers", 50, 40)], [])
    other = alone([Part("", 1_000, 400), Part("tiers", 100, 40), Part("prune", 50, 40)], [])
    assert first == other == {"prune": 50, "tiers": 500 + 400 - 90}


def test_a_technique_without_effect_bears_its_own_calls():
    assert alone([Part("", 100, 100)], [("evidence", 30), ("hedging", None)]) == {"evidence": -30}


def test_capacity_of_ones_own_keeps_what_stood_before_it():
    parts = [Part("", 100, 60), Part("prune", 50, 60), Part("provisioned", 0, 0)]
    assert alone(parts, []) == {"provisioned": 110}


def ledger(path, exchanges):
    """The ledger of exchanges: (question, technique and target, or "exact" for a hit)."""
    clock = made.Clock()
    book = made.books(clock)

    async def write():
        kept = Ledger(LedgerOptions(path=path), RealClock())
        for question, how in exchanges:
            clock.t += 10.0
            ex = made.exchange(clock, made.ask(question))
            if how == "exact":
                ex.step("exact", free=True)
                made.deliver(ex)
            else:
                if how == "cheap":
                    ex.target = Target("cheap")
                    ex.step("tiers")
                made.served(book, ex)
            kept.write(book.close(ex))
        await kept.aclose()

    asyncio.run(write())
    return {technique.name: technique for technique in summarise(path).techniques}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "ledger.db")


def test_a_hit_on_what_the_cheap_model_would_have_answered_saves_little_alone(path):
    known = ledger(path, [("one?", "cheap"), ("one?", "exact"), ("one?", "exact")])
    exact = known["exact"]
    assert exact.alone == pytest.approx(exact.saved / 12, rel=0.01)  # as the cheap model's rates are to the dear one's


def test_a_hit_on_what_the_dear_model_answered_saves_all_of_it(path):
    known = ledger(path, [("one?", "dear"), ("two?", "cheap"), ("one?", "exact")])
    assert known["exact"].alone == pytest.approx(known["exact"].saved, rel=0.01)


def test_a_question_that_no_model_answered_is_taken_as_its_route_is(path):
    known = ledger(path, [("two?", "cheap"), ("three?", "cheap"), ("one?", "exact")])
    assert known["exact"].alone == pytest.approx(known["exact"].saved / 12, rel=0.01)


def test_alone_is_not_more_than_the_waterfall_where_only_one_technique_is_on(path):
    known = ledger(path, [("one?", "dear"), ("two?", "dear"), ("one?", "exact"), ("two?", "exact")])
    assert list(known) == ["exact"]
    assert known["exact"].alone == pytest.approx(known["exact"].saved, rel=0.01)
