"""The question of a turn is the same whatever form its context has."""

import time

import pytest

from hapenny.core.questions import MOST_LINES, question_of
from hapenny.routing import complexity

QUESTION = "How long is the warranty of the lamp of series 7?"
PASSAGES = [
    f"Passage {n}. The lamp of series {n} has a warranty of {n % 5 + 1} years; compare (a + b) * c and derive: it "
    "ships from Lyon, unless the order was placed before noon, in which case Graz sends it."
    for n in range(8)
]
PLAIN = "\n\n".join(PASSAGES)
TAGGED = "\n".join(f'<passage id="{n}">{text}</passage>' for n, text in enumerate(PASSAGES))
NESTED = "".join(f"<document><document_content>{text}</document_content></document>" for text in PASSAGES)
NUMBERED = "\n".join(f"[{n + 1}] {text}" for n, text in enumerate(PASSAGES))
RULE = "---------------------"
FORMS = {
    "tagged": f"{TAGGED}\n\nQuestion: {QUESTION}",
    "documents": f"<documents>{NESTED}</documents>\n\n{QUESTION}",
    "labelled": f"Context:\n\n{PLAIN}\n\nQuestion: {QUESTION}",
    "labelled, question first": f"Question: {QUESTION}\n\nContext:\n{PLAIN}",
    "one line each": f"Context: {' '.join(PASSAGES)}\nQuestion: {QUESTION}\nAnswer:",
    "numbered": f"Use these sources:\n{NUMBERED}\n\nQuestion: {QUESTION}",
    "numbered without a label": f"{NUMBERED}\n\n{QUESTION}",
    "markdown": f"## Context\n\n{PLAIN}\n\n## Question\n\n{QUESTION}",
    "bold": f"**Context:**\n{PLAIN}\n\n**Question:** {QUESTION}",
    "rules": f"Context information is below.\n{RULE}\n{PLAIN}\n{RULE}\nGiven the context information and not prior "
    f"knowledge, answer the query.\nQuery: {QUESTION}\nAnswer: ",
    "japanese": f"資料：\n{PLAIN}\n\n質問：{QUESTION}",
    "vietnamese": f"Ngữ cảnh:\n{PLAIN}\n\nCâu hỏi: {QUESTION}",
}


@pytest.mark.parametrize("form", FORMS)
def test_the_question_is_found_in_every_form(form):
    assert question_of(FORMS[form]) == QUESTION
    assert complexity.score(question_of(FORMS[form]), "unknown") == complexity.score(QUESTION, "unknown")


@pytest.mark.parametrize(
    "text",
    [
        QUESTION,
        "",
        "Question: what is a context: a frame or a window?",
        "Write a plan.\n\n1. Compare the sources.\n2. Derive the costs of each.\n3. Prove that the third is cheapest. "
        * 4,
        "def context():\n    return 1\n" * 30,
        "My question is about a long story. " * 20,
        "<context> was never closed and goes on " * 20,
    ],
)
def test_what_is_no_context_stays(text):
    assert question_of(text) == text


def test_context_alone_is_what_was_asked():
    assert question_of("<context>only this</context>") == "<context>only this</context>"


@pytest.mark.parametrize("piece", ["<context>", "</doc><doc>", "Question:\n", "[1] ", "context ", "#### ", "*_ "])
def test_it_is_linear(piece):
    def took(count):
        text = piece * count
        began = time.process_time()
        question_of(text)
        return time.process_time() - began

    took(1_000)
    assert took(200_000) < 60 * max(took(10_000), 0.001)


def test_a_text_of_very_many_lines_is_not_looked_through():
    """A log with a label somewhere in it is all of it asked about; so is a table."""
    log = "Context:\n" + "a line of a log\n" * (MOST_LINES + 1) + "Question: what failed?"
    assert question_of(log) == log
    short = "Context:\n" + "a line of a log\n" * (MOST_LINES // 2) + "Question: what failed?"
    assert question_of(short) == "what failed?"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n \t\n"])
def test_empty_lines_part_paragraphs_whatever_they_hold(end):
    text = (
        f"Sources:\n[1] The toll is a penny.{end}[2] It was two.{end}" + "x" * 200 + f"{end}Question: how much is it?"
    )
    assert question_of(text) == "how much is it?"
