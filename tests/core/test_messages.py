"""What is read out of requests and answers."""

import pytest

from hapenny.core.events import Choice, Completion
from hapenny.core.messages import Text, ToolUse
from hapenny.core.questions import without_passages


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("<doc id=1>one</doc>\n<doc>two</doc>\nWhich is it?", "Which is it?"),
        ("Which? <context>a <doc>b</doc></context>", "Which?"),
        ("<doc>never closed </context> Which?", "<doc>never closed </context> Which?"),
        ("<passage>all there is</passage>", "<passage>all there is</passage>"),
        ("<docs>a</docs><doc>b", "<doc>b"),
        ("a <b>bold</b> word", "a <b>bold</b> word"),
    ],
)
def test_the_question_stands_beside_the_passages(text, asked):
    assert without_passages(text) == asked


@pytest.mark.parametrize(
    ("arguments", "decoded"),
    [('{"title": "Bridge"}', {"title": "Bridge"}), ("", {}), ('{"title": ', {}), ("[1]", {}), ("null", {})],
)
def test_a_tool_calls_arguments_are_a_mapping_whatever_the_model_wrote(arguments, decoded):
    assert ToolUse("t1", "stock_check", arguments).decoded() == decoded


def test_an_answers_tool_call_is_the_first_of_its_first_choice():
    calls = [ToolUse("t1", "stock_check"), ToolUse("t2", "recommend")]
    assert Completion(choices=[Choice(content=[Text("Let me look."), *calls], reason="tool_use")]).tool_use is calls[0]
    assert Completion(choices=[Choice(content=[Text("At nine.")], reason="end_turn")]).tool_use is None
    assert Completion(choices=[]).tool_use is None
