"""Difficulty shows in the text only as far as it should, and models are right as often as the tables say."""

import ast
from pathlib import Path

import pytest

import hapenny
from hapenny.core.messages import Data, Message, Request, Text, ToolResult
from hapenny.simulation import latents, make_tables
from hapenny.simulation.cards import MANGA_2024
from tests.simulation.helpers import SHOP, ask, questions

QUESTIONS = questions(4000)
MODELS = {model.tier: model for model in MANGA_2024.models}


def right(tier: str, question: str) -> bool:
    model = MODELS[tier]
    return latents.right(model.id, model.correctness, question, MANGA_2024.name)


def apgr(cheap: str, strong: str, score: list[float]) -> float:
    return make_tables.apgr([right(cheap, q) for q in QUESTIONS], [right(strong, q) for q in QUESTIONS], score)


def test_a_text_score_reaches_the_apgr_of_real_text_classifiers() -> None:
    score = [latents.visible(question) for question in QUESTIONS]
    mean = (apgr("fast", "strong", score) + apgr("balanced", "strong", score)) / 2
    assert mean == pytest.approx(0.67, abs=0.03)
    length = [float(len(question)) for question in QUESTIONS]
    assert 0.52 < (apgr("fast", "strong", length) + apgr("balanced", "strong", length)) / 2 < 0.66


@pytest.mark.parametrize("tier", ["fast", "balanced", "strong", "max"])
def test_a_model_is_right_as_often_as_its_table(tier: str) -> None:
    table = MODELS[tier].correctness
    share = sum(right(tier, question) for question in QUESTIONS) / len(QUESTIONS)
    assert share == pytest.approx(sum(table) / len(table), abs=0.04)


def test_cheaper_models_are_worse_where_it_is_hard() -> None:
    easy = [q for q in QUESTIONS if latents.difficulty(q, MANGA_2024.name) < 0.3]
    hard = [q for q in QUESTIONS if 0.55 < latents.difficulty(q, MANGA_2024.name) < 0.8]

    def gap(some: list[str]) -> float:
        return sum(right("strong", q) - right("fast", q) for q in some) / len(some)

    assert gap(easy) < 0.12
    assert gap(hard) > 0.3


def test_latents_hang_on_the_question_alone() -> None:
    assert latents.difficulty("Where is my order?", "a") == latents.difficulty("where is MY order", "a")
    assert latents.difficulty("Where is my order?", "a") != latents.difficulty("Where is my order?", "b")


def test_the_question_is_found_behind_a_context() -> None:
    assert latents.question_of(ask("Where is it?")) == "Where is it?"
    assert latents.question_of(ask(f"{SHOP}\n\nWhere is it?")) == "Where is it?"
    assert latents.question_of(ask(f"Context: {SHOP}\nQuestion: Where is it?")) == "Where is it?"
    assert SHOP in " ".join(latents.context_of(ask(f"{SHOP}\n\nWhere is it?", context="")))
    result = ToolResult("1", (Data({"order": {"state": "shipped", "days": 3}}),))
    request = Request(
        protocol="openai",
        model="m",
        messages=(Message("user", (Text("Where is it?"),)), Message("tool", (result,))),
    )
    assert latents.question_of(request) == "Where is it?"
    assert "order state: shipped." in latents.context_of(request)[0]


def test_nothing_outside_the_simulation_reads_the_latents() -> None:
    root = Path(hapenny.__file__).parent
    hidden = {"latents", "answering", "tokenizer"}
    for path in root.rglob("*.py"):
        if path.parent.name == "simulation":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hapenny.simulation"):
                named = {(node.module or "").rsplit(".", 1)[-1], *(alias.name for alias in node.names)}
                assert not named & hidden, path


def test_tables_are_read_off_outcomes() -> None:
    def row(number: int, level: int) -> dict[str, object]:
        scores = {f"m{skill}": {"score": float(skill > level)} for skill in range(5)}
        return {"id": str(number), "prompt": "", "models": scores}

    found = make_tables.tables([row(number, number % 5) for number in range(100)])
    assert found["m0"] == (0.0,) * 10
    assert found["m4"][:6] == (1.0,) * 6
    assert sum(found["m4"]) / 10 == pytest.approx(0.8)
    assert sum(found["m2"]) / 10 == pytest.approx(0.4)


def test_apgr_of_a_perfect_and_of_no_score() -> None:
    weak, strong = [0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]
    assert make_tables.apgr(weak, strong, [4, 3, 2, 1]) == pytest.approx(0.625)
    assert make_tables.apgr(weak, strong, [1, 2, 3, 4]) == pytest.approx(0.125)
