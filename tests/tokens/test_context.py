"""Passages and questions are found where applications and the retrieval stage put them."""

from hapenny.core.messages import Document, Message, Text, ToolResult, ToolUse
from hapenny.tokens.context import context_turns, rewrite


def user(*blocks):
    return Message("user", tuple(Text(block) if isinstance(block, str) else block for block in blocks))


SOURCES = """<sources>
<source number="1" title="Opening hours">
We open at nine.
</source>
<source number="2" title='The "Old" Mill'>
It ground corn.
</source>
</sources>
Answer from the sources and cite their numbers."""


def test_what_the_retrieval_stage_injects():
    (turn,) = context_turns([user(SOURCES, "when do you open?")])
    assert turn.question == "when do you open?"
    assert [(piece.title, piece.text) for piece in turn.pieces] == [
        ("Opening hours", "We open at nine."),
        ('The "Old" Mill', "It ground corn."),
    ]


def test_a_single_text_with_the_question_behind_or_before():
    passages = "<doc>One is a number.</doc>\n<doc>Two is another.</doc>"
    (behind,) = context_turns([user(f"Use these passages.\n{passages}\nwhat is two?")])
    (before,) = context_turns([user(f"what is two?\n{passages}")])
    assert behind.question == before.question == "what is two?"


def test_inner_elements_of_documents():
    body = "<document_content>\nIt ground corn.\n</document_content>"
    text = f"<documents><document index='1'><source>mill.txt</source>{body}</document></documents>"
    (turn,) = context_turns([user(f"{text}\nwhat did it grind?")])
    assert [(piece.title, piece.text) for piece in turn.pieces] == [("mill.txt", "It ground corn.")]


def test_search_results_belong_to_the_question_before_them():
    call = Message("assistant", (ToolUse("c1", "search"), ToolUse("c2", "pay")))
    results = Message("user", (ToolResult("c1", (Text("A long passage."),)), ToolResult("c2", (Text("paid"),))))
    (turn,) = context_turns([user("where is the mill?"), call, results], ["search"])
    assert turn.question == "where is the mill?"
    assert [piece.text for piece in turn.pieces] == ["A long passage."]
    assert context_turns([user("where is the mill?"), call, results]) == []


def test_rewriting_replaces_texts_and_takes_empty_elements_away():
    messages = (
        user("<doc>One. Two.</doc>\n<doc>Three.</doc>\nwhich?"),
        user(Document(text="Four.", name="a"), "which?"),
    )
    turns = context_turns(messages)
    pieces = [piece for turn in turns for piece in turn.pieces]
    changed = rewrite(messages, [(pieces[0], "Two."), (pieces[1], ""), (pieces[2], "")])
    assert changed[0].text == "<doc>Two.</doc>\nwhich?"
    assert changed[1].content == (Text("which?"),)
    assert rewrite(messages, []) == messages


def test_no_passages_no_turns():
    assert context_turns([user("if a < b and c </ d then?"), user("<doc>left open")]) == []
    assert context_turns([user("<doc>a passage without a question</doc>")]) == []
