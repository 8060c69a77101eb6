"""What is read out of requests."""

import pytest

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
