"""Models are right as often as their cards say, on the same questions together, and nothing hangs on names."""

import ast
from itertools import combinations
from pathlib import Path
from statistics import mean

import msgspec
import pytest

import hapenny
from hapenny.simulation import latents, make_tables
from hapenny.simulation.cards import LINEUPS, MANGA_2024
from hapenny.simulation.latents import Latents
from hapenny.simulation.workload.truth import KINDS, Kind
from tests.simulation.helpers import questions

QUESTIONS = questions(3000)
MODELS = {model.tier: model for model in MANGA_2024.models}


def right(tier: str, kind: Kind, seed: int = 0, harder: float = 0.0) -> list[bool]:
    world = Latents(MANGA_2024, seed)
    return [world.right(MODELS[tier], kind, question, question, harder) for question in QUESTIONS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tier", ["fast", "strong"])
def test_a_model_is_right_as_often_as_its_card_says(tier: str, kind: Kind) -> None:
    # The length of these questions is not that of every kind: the hidden part alone is as on the card.
    blind = msgspec.structs.replace(MANGA_2024, visible=0.0)
    shares = [
        mean(Latents(blind, seed).right(MODELS[tier], kind, question, question) for question in QUESTIONS[:1000])
        for seed in range(4)
    ]
    assert mean(shares) == pytest.approx(MODELS[tier].correctness[kind], abs=0.02)


@pytest.mark.parametrize("kind", ["grounded", "reasoning"])
def test_two_models_fail_on_the_same_questions(kind: Kind) -> None:
    rows = [right(tier, kind) for tier in ("fast", "balanced", "strong")]
    measured = [make_tables.tetrachoric(one, other) for one, other in combinations(rows, 2)]
    assert mean(each for each in measured if each is not None) == pytest.approx(MANGA_2024.shared[kind], abs=0.08)


def test_a_harder_intent_is_answered_worse() -> None:
    usual, hard, easy = (mean(right("fast", "grounded", harder=by)) for by in (0.0, 0.7, -0.7))
    assert hard < usual - 0.08
    assert easy > usual + 0.04


def test_the_text_tells_a_part_of_the_difficulty() -> None:
    world = Latents(MANGA_2024)
    seen = [latents.visible(question, "grounded") for question in QUESTIONS]
    hard = [world.difficulty("grounded", question, question) for question in QUESTIONS]
    order = sorted(range(len(seen)), key=lambda index: seen[index])
    third = len(order) // 3
    low, high = (mean(hard[index] for index in part) for part in (order[:third], order[-third:]))
    assert 0.6 < high - low < 1.8


def test_a_rephrased_question_is_mostly_as_hard_as_before() -> None:
    world = Latents(MANGA_2024)
    pairs = [
        (
            world.right(MODELS["fast"], "reasoning", question, f"Please tell me: {question}"),
            world.right(MODELS["fast"], "reasoning", question, f"{question} Thanks!"),
        )
        for question in QUESTIONS
    ]
    agreed = mean(one == other for one, other in pairs)
    assert 0.85 < agreed < 1.0
    others = [make_tables.tetrachoric(*zip(*pairs, strict=True))]
    assert others[0] is not None
    assert others[0] > MANGA_2024.shared["reasoning"]


def test_draws_differ_and_repeat() -> None:
    assert right("fast", "grounded", 1) == right("fast", "grounded", 1)
    assert right("fast", "grounded", 1) != right("fast", "grounded", 2)
    assert Latents(MANGA_2024).pace == 1.0
    low, high = MANGA_2024.pace_range
    assert all(low <= Latents(MANGA_2024, seed).pace <= high for seed in range(1, 20))


def test_no_name_of_a_card_moves_the_truth() -> None:
    renamed = msgspec.structs.replace(MANGA_2024, name="other", date="2030-01-01")
    one, other = Latents(MANGA_2024), Latents(renamed)
    for question in QUESTIONS[:300]:
        assert one.right(MODELS["fast"], "grounded", question, question) == other.right(
            MODELS["fast"], "grounded", question, question
        )


def test_nothing_outside_the_simulation_reads_the_latents() -> None:
    root = Path(hapenny.__file__).parent
    hidden = {"latents", "answering", "tokenizer", "replies", "voice"}
    for path in root.rglob("*.py"):
        if path.parent.name == "simulation" or path.name == "logged.py":  # it plays the provider of a log itself
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hapenny.simulation"):
                named = {(node.module or "").rsplit(".", 1)[-1], *(alias.name for alias in node.names)}
                assert not named & hidden, path


def test_tables_are_read_off_outcomes() -> None:
    def row(number: int, level: float) -> dict[str, object]:
        scores = {f"m{skill}": {"score": float(skill / 5 > level)} for skill in range(5)}
        return {"id": str(number), "task": "t", "prompt": "", "models": scores}

    shares, correlation, prompts = make_tables.tables([row(number, number % 100 / 100) for number in range(1000)])["t"]
    assert prompts == 1000
    assert shares["m0"] == 0.0
    assert shares["m2"] == pytest.approx(0.4, abs=0.02)
    assert shares["m4"] == pytest.approx(0.8, abs=0.02)
    assert correlation is not None
    assert correlation > 0.95


def test_the_correlation_of_unrelated_rows_is_none() -> None:
    one = [latents.chance("a", number) < 0.7 for number in range(4000)]
    other = [latents.chance("b", number) < 0.6 for number in range(4000)]
    assert make_tables.tetrachoric(one, other) == pytest.approx(0.0, abs=0.06)
    assert make_tables.tetrachoric(one, [True] * 4000) is None


def test_apgr_of_a_perfect_and_of_no_score() -> None:
    weak, strong = [0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]
    assert make_tables.apgr(weak, strong, [4, 3, 2, 1]) == pytest.approx(0.625)
    assert make_tables.apgr(weak, strong, [1, 2, 3, 4]) == pytest.approx(0.125)


def test_a_check_of_questions_names_every_model() -> None:
    lines = make_tables.check(QUESTIONS[:60], draws=2)
    for lineup in LINEUPS.values():
        for model in lineup.models:
            assert any(f"{lineup.name} {model.id}: right in" in line for line in lines)
