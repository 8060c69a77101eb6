"""The proof's parts on small draws: pairs, steps, frontier, page."""

import msgspec
import pytest

from hapenny.simulation.workload.mix import load
from hapenny.studies.player import Record
from mangaassist_proof.drawings import gantt, pies, slices
from mangaassist_proof.draws import (
    CHANGES,
    LIMITS,
    Draw,
    Size,
    changed,
    deck_of,
    draw,
    long_answer,
    operators_test,
    traffic,
)
from mangaassist_proof.evaluate import evaluate
from mangaassist_proof.frontier import by_tier, frontier
from mangaassist_proof.page import page
from mangaassist_proof.play import Played, play_off
from mangaassist_proof.proof import disagreement
from mangaassist_proof.report import SEED_PIE, figures, latency, no_slower, not_reached, short, stepped


@pytest.fixture(scope="module")
def small():
    return draw("manga-2024", "gantt", load(), 3, Size(messages=160, tested=0, lived=0))


def record(intent: str, right: bool, actual: int) -> Record:
    return Record(
        number=0, question=f"{intent}-{right}-{actual}", intent=intent, language="en", how="new", at=0.0, right=right,
        actual=actual, whole_s=1.0, first_s=0.5, requests=1, models=("m",),
    )  # fmt: skip


def played(*records: Record) -> Played:
    return Played(
        records=list(records), bill=sum(each.actual or 0 for each in records), templated=[False] * len(records)
    )


def test_a_draw_saves_loses_no_message_and_its_books_add_up(small):
    row = figures([small], 1_000_000)
    assert row["saved_share"] > 0.4
    assert row["lost_messages"] == row["identity_violations"] == row["errors"] == 0
    assert row["templates"]["wrong"] == 0
    assert row["templates"]["share_of_messages"] > 0.3
    assert row["quality"]["baseline"] < 1
    assert row["p95_ms"] < 1_500
    assert 0.008 < row["baseline_usd_month"] / 30_000_000 < 0.013


def test_what_guardrails_decline_counts_alike_with_everything_off():
    mix = load()
    hostile = {"hostile": msgspec.structs.replace(mix.intents["hostile"], share=0.3)}
    fierce = msgspec.structs.replace(mix, intents=mix.intents | hostile)
    population, _, _, measured = traffic(fierce, 3, Size(messages=160, tested=0, lived=0))
    off = play_off(measured, population.shop, deck_of("manga-2024", "gantt", fierce), 3)
    known = {message.number: message for message in measured}
    after = {
        message.number for message in measured
        if any(known[number].intent == "hostile" for number in message.earlier if number in known)
    }  # fmt: skip
    assert all(each.right and not each.failure for each in off.records if each.intent == "hostile")
    others = [each for each in off.records if each.number in after and each.intent != "hostile"]
    assert len(others) > 10
    assert sum(each.right for each in others) > len(others) / 2  # one bad question does not end a session


def test_learning_asks_other_questions_than_those_that_are_measured():
    _, tested, lived, measured = traffic(load(), 5, Size(messages=150, tested=120, lived=80))
    asked = {message.item.id for message in measured}
    assert tested
    assert lived
    assert not asked & {message.item.id for message in (*tested, *lived)}


def test_a_test_on_few_questions_adopts_nothing():
    population, tested, _, _ = traffic(load(), 5, Size(messages=20, tested=40, lived=0))
    shown = evaluate(tested, population.shop, deck_of("manga-2024", "card", load()), 5)
    assert shown.trained is None
    assert shown.requests >= shown.prompts * 2


def test_the_providers_speeds_are_the_latency_budgets():
    deck = deck_of("manga-2024", "gantt", load())
    for model in deck.models:
        assert model.ttft_p95 == pytest.approx(0.330)
        assert long_answer(load()) / model.rate_p95 == pytest.approx(0.650)
    assert deck_of("manga-2024", "card", load()).models[0].rate_p50 == 223


@pytest.mark.parametrize("name", [*CHANGES, *LIMITS])
def test_a_changed_mix_is_one_still(name):
    mix = changed(load(), **(CHANGES | LIMITS)[name])
    assert sum(intent.share for intent in mix.intents.values()) == pytest.approx(1)
    assert all(intent.repeat + intent.rephrase <= 1 for intent in mix.intents.values())
    assert all(abs(intent.difficulty) <= 3 for intent in mix.intents.values())


def test_hindsight_takes_the_cheap_tier_where_it_loses_nothing():
    off = played(record("easy", True, 100), record("hard", True, 100))
    cheap = played(record("easy", True, 10), record("hard", False, 10))
    rows = {row["loss"]: row["saved"] for row in frontier([{"off": off, "fast": cheap, "strong": off}])}
    assert rows[0.0] == pytest.approx(0.45)
    assert rows[-0.02] == 0.0
    assert by_tier([{"off": off, "fast": cheap}])["fast"] == {"saved": 0.9, "quality_diff": -0.5}


def test_steps_stand_beside_the_seeds_and_what_is_missed_is_said():
    right = record("a", True, 100)
    runs = {"off": played(right), "all": played(record("a", True, 20))}
    for name, nano in (("token_efficiency", 50), ("tiering", 25), ("batching", 25), ("caching", 20)):
        runs[name], runs[f"-{name}"] = played(record("a", True, nano)), played(record("a", True, 30))
    report = stepped(runs, 1_000_000)
    assert report["by_step"]["token_efficiency"]["share"] == 0.5
    assert report["by_step"]["batching"] == {**report["by_step"]["batching"], "share": 0.0, "reached": False}
    assert report["leave_one_out"]["tiering"] == {"saved_without": 0.7, "lost": 0.1, "quality_diff": 0.0}
    whole = {**report, "saved_share": 0.5, "quality": {"noninferior_1pt": False}, "p95_ms": 2_000.0,
             "at_card_rates": {"ttft_p95_ms": 100.0}, "under_3s_share": 1.0}  # fmt: skip
    lines = "\n".join(not_reached(whole))
    for word in ("batching", "caching", "saved_share", "quality", "whole answer"):
        assert word in lines
    assert "token_efficiency" not in lines


def test_not_being_slower_has_its_price():
    slower = msgspec.structs.replace(record("a", True, 10), whole_s=4.0, savings={"tiers": 30, "exact": 5})
    faster = msgspec.structs.replace(record("b", True, 10), whole_s=0.5, savings={"tiers": 30})
    on = played(slower, faster)
    off = played(record("a", True, 100), record("b", True, 100))
    each = Draw(world="card", off=off, on=on)
    assert no_slower([each]) == {"saved_share": 0.75, "p95_ms": 1_000.0, "messages_moved_share": 0.5}


def test_a_test_that_is_ahead_and_undecided_asks_more_and_lives_through_less():
    size = Size(messages=20, tested=130, lived=60)
    population, tested, lived, _ = traffic(load(), 5, size)
    lineup = deck_of("manga-2024", "card", load())
    first = evaluate(tested, population.shop, lineup, 5)
    test, left = operators_test(tested, lived, population.shop, lineup, 5)
    assert first.trained is None
    assert first.ahead == (test.prompts > first.prompts)
    assert len(left) == (6 if first.ahead else 60)
    assert operators_test([], lived, population.shop, lineup, 5) == (None, lived)


def test_the_page_holds_money_and_quality_in_one_paragraph(small):
    row = figures([small], 1_000_000)
    right = record("a", True, 100)
    names = ("off", "all", "token_efficiency", "tiering", "batching", "caching")
    runs = {name: played(right) for name in (*names, *(f"-{name}" for name in names[2:]))}
    row |= stepped(runs, 1_000_000)
    row |= {"backwards": row["by_step"], "frontier": [{"loss": 0.0, "saved": 0.9}], "not_reached": ["<batching>"],
            "by_tier": {"fast": {"saved": 0.8, "quality_diff": -0.01}}, "hindsight": {"saved": 0.9}}  # fmt: skip
    made = page({
        "mix": {"name": "m", "digest": "d", "assumed": 0.9}, "cards": {"manga-2024": row},
        "sensitivity": {"harder": short(row)}, "claim_breaks": [], "latency_budget": latency(small.on),
        "disagreement": disagreement(),
    })  # fmt: skip
    assert f"{row['saved_share']:.1%} saved" in made
    assert "Right answers" in made
    assert "&lt;batching&gt;" in made
    assert made.count("<svg") == 4
    assert row["pie"]["remaining"] == pytest.approx(1 - row["saved_share"], abs=2e-4)  # rounded each by itself
    assert f"remaining {row['pie']['remaining']:.1%}" in made


def test_the_pie_holds_the_whole_bill_and_what_the_books_do_not_hold_is_compression():
    shares = slices({"tiers": 0.2, "templates": 0.1, "exact": 0.03, "flights": 0.01, "throughput": -0.01}, 0.8)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert shares["batching"] == 0
    assert shares["caching"] == pytest.approx(0.04, abs=1e-3)
    assert shares["compression"] == pytest.approx(0.47, abs=6e-3)
    drawn = pies(shares, SEED_PIE)
    assert drawn.count("<path") == 5 + 6
    for share in shares.values():
        assert f"{share:.1%}" in drawn


def test_the_gantt_says_which_step_takes_more_than_its_part():
    budget = {"steps": {"cache": {"limit_ms": 10, "p95_ms": 4.0}, "streaming": {"limit_ms": 650, "p95_ms": 700.0}}}
    drawn = gantt(budget)
    assert drawn.count("class='ours'") == drawn.count("class='over'") == 1
    assert "700.0 of 650 ms" in drawn
