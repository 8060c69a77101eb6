"""A request is read as a model reads it."""

import pytest

from hapenny.core.messages import Data, Message, Request, Text, Tool, ToolResult
from hapenny.simulation.request_text import brings_result, context_of, earlier_of, kind_of, question_of
from tests.simulation.helpers import SHOP, ask


def test_the_question_is_found_behind_a_context() -> None:
    assert question_of(ask("Where is it?")) == "Where is it?"
    assert question_of(ask(f"{SHOP}\n\nWhere is it?")) == "Where is it?"
    assert question_of(ask(f"Context: {SHOP}\nQuestion: Where is it?")) == "Where is it?"
    assert SHOP in " ".join(context_of(ask(f"{SHOP}\n\nWhere is it?", context="")))


def with_result() -> Request:
    result = ToolResult("1", (Data({"order": {"state": "shipped", "days": 3}}),))
    return Request(
        protocol="openai",
        model="m",
        messages=(
            Message("user", (Text("Hello"),)),
            Message("assistant", (Text("Hi"),)),
            Message("user", (Text("Where is it?"),)),
            Message("tool", (result,)),
        ),
        tools=(Tool("track"),),
    )


def test_a_tool_result_is_text_of_the_prompt() -> None:
    request = with_result()
    assert question_of(request) == "Where is it?"
    assert any("order state: shipped." in text for text in context_of(request))
    assert brings_result(request)
    assert not brings_result(ask("Where is it?"))
    assert earlier_of(request) == ["Hello"]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Hello there", "small_talk"),
        ("Thanks, that was all", "small_talk"),
        ("How long does shipping to Ireland take?", "grounded"),
        ("Translate this to Japanese: cat", "translation"),
        ("Give me the list as JSON", "code"),
        ("Compare both and calculate the total", "reasoning"),
    ],
)
def test_the_kind_of_work_is_guessed_where_nobody_says_it(question: str, kind: str) -> None:
    assert kind_of(ask(question), question) == kind


def test_a_request_with_tools_is_work_with_tools_until_the_result_is_there() -> None:
    request = with_result()
    asked = Request(protocol="openai", model="m", messages=request.messages[:3], tools=request.tools)
    assert kind_of(asked, "Where is it?") == "tools"
    assert kind_of(request, "Where is it?") == "grounded"
