"""Answers are grounded in the prompt, and wrong ones are really wrong."""

import json

import pytest

from hapenny.core.messages import Message, Request, Text, Thinks, Tool, ToolChoice, ToolResult
from hapenny.simulation.answering import compose, reference
from tests.simulation.helpers import SHOP, ask

QUESTION = "How long does shipping to Ireland take?"


def test_a_right_answer_names_the_sentence_that_holds_it() -> None:
    draft = compose(ask(QUESTION), "m", True, "s", 10)
    assert "Shipping to Ireland takes 4 days and costs 3 euros." in draft.text[:90]
    assert reference(ask(QUESTION)) == "Shipping to Ireland takes 4 days and costs 3 euros."


@pytest.mark.parametrize("question", [QUESTION, "What does gift wrapping cost?", "Can signed editions be returned?"])
def test_a_wrong_answer_says_something_else(question: str) -> None:
    good = compose(ask(question), "m", True, "s", 5).text
    bad = compose(ask(question), "m", False, "s", 5).text
    assert reference(ask(question)) in good
    assert reference(ask(question)) not in bad


def test_two_models_say_the_same_in_their_own_words() -> None:
    texts = {compose(ask(QUESTION), model, True, "s", 40).text for model in "abcdef"}
    assert len(texts) > 1
    assert all(reference(ask(QUESTION)) in text for text in texts)
    again = compose(ask(QUESTION), "a", True, "s", 40, turn=1).text
    assert again != compose(ask(QUESTION), "a", True, "s", 40).text
    assert reference(ask(QUESTION)) in again


def test_the_only_sentence_is_answered_wrongly_by_a_changed_number() -> None:
    request = ask(QUESTION, context="Shipping to Ireland takes 4 days.")
    assert "takes 4 days" in compose(request, "m", True, "s", 5).text
    assert "takes 4 days" not in compose(request, "m", False, "s", 5).text


def test_without_a_context_the_question_is_the_material() -> None:
    draft = compose(ask(QUESTION, context=""), "m", True, "s", 5)
    assert "shipping ireland" in draft.text.casefold()
    assert compose(ask(QUESTION, context=""), "m", False, "s", 5).text != draft.text
    assert compose(ask("", context=""), "m", True, "s", 5).text


def test_the_same_prompt_gives_the_same_answer() -> None:
    assert compose(ask(QUESTION), "m", True, "s", 80) == compose(ask(QUESTION), "m", True, "s", 80)
    assert len(compose(ask(QUESTION), "m", True, "s", 80).text.split()) >= 80


TOOLS = (
    Tool("get_weather", "Weather of a city", {"type": "object", "properties": {"city": {"type": "string"}}}),
    Tool(
        "track_order",
        "Track the delivery of an order",
        {
            "type": "object",
            "properties": {
                "order": {"type": "integer"},
                "carrier": {"enum": ["post", "courier"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "urgent": {"type": "boolean"},
            },
            "required": ["order"],
        },
    ),
)


def with_tools(question: str, choice: ToolChoice | None = None) -> Request:
    return Request(
        protocol="openai",
        model="m",
        messages=(Message("user", (Text(question),)),),
        tools=TOOLS,
        tool_choice=choice,
    )


def test_a_tool_that_fits_is_called_with_fitting_arguments() -> None:
    draft = compose(with_tools("Track the delivery of order 4711 by courier"), "m", True, "s", 9)
    ((name, arguments),) = draft.calls
    assert name == "track_order"
    filled = json.loads(arguments)
    assert filled["order"] == 4711
    assert filled["carrier"] == "courier"
    assert isinstance(filled["tags"], list)
    assert isinstance(filled["urgent"], bool)


def test_tool_choice_is_obeyed() -> None:
    assert not compose(with_tools("Hello there"), "m", True, "s", 9).calls
    assert not compose(with_tools("Track delivery of order 1", ToolChoice("none")), "m", True, "s", 9).calls
    assert compose(with_tools("Hello there", ToolChoice("any")), "m", True, "s", 9).calls
    forced = compose(with_tools("Hello there", ToolChoice("tool", "get_weather")), "m", False, "s", 9)
    assert forced.calls[0][0] == "get_weather"


def test_a_tool_result_is_answered_in_words() -> None:
    request = Request(
        protocol="openai",
        model="m",
        messages=(
            Message("user", (Text("Track the delivery of order 4711"),)),
            Message("tool", (ToolResult("1", (Text("Order 4711: the delivery arrives on Monday."),)),)),
        ),
        tools=TOOLS,
    )
    assert "Monday" in compose(request, "m", True, "s", 9).text


def test_structured_output_is_valid_json() -> None:
    plain = compose(ask(QUESTION, format={"type": "json_object"}), "m", True, "s", 9)
    assert "Ireland" in json.loads(plain.text)["answer"]
    schema = {"type": "object", "properties": {"days": {"type": "integer"}, "note": {"type": ["string", "null"]}}}
    format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    filled = json.loads(compose(ask(QUESTION, format=format), "m", True, "s", 9).text)
    assert filled["days"] == 4


def test_thinking_only_when_asked() -> None:
    assert not compose(ask(QUESTION), "m", True, "s", 9).thinking
    assert compose(ask(QUESTION, thinking=Thinks("enabled", 1024)), "m", True, "s", 9).thinking
    assert SHOP
