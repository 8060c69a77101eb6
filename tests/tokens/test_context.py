"""Passages and questions are found where applications and the retrieval stage put them."""

import pytest

from hapenny.core.messages import Document, Message, Request, Text, ToolResult, ToolUse
from hapenny.tokens.context import context_turns, rewrite, rewrite_system
from hapenny.tokens.unfound import unfound


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
    named = [user("where is the mill?"), Message("assistant", (ToolUse("c2", "pay"),)), results]
    assert context_turns(named) == []


def test_a_tool_whose_name_says_so_brings_retrieved_text():
    for name in ("knowledge_base_lookup", "searchDocs", "retrieve"):
        call = Message("assistant", (ToolUse("c1", name),))
        results = Message("user", (ToolResult("c1", (Text("A long passage."),)),))
        (turn,) = context_turns([user("where is the mill?"), call, results])
        assert [piece.text for piece in turn.pieces] == ["A long passage."]
    call = Message("assistant", (ToolUse("c1", "research_budget"),))
    assert context_turns([user("where is the mill?"), call, results]) == []


TOWNS = ("Lyon", "Porto", "Graz", "Gent", "Brno", "Turku", "Split", "Cork")
PASSAGES = tuple(
    f"The mill of {town} was built in {1700 + place} beside the river. It ground corn for the town until the flood. "
    f"Its wheel stands in the museum of {town} today."
    for place, town in enumerate(TOWNS)
)
ASKED = "When was the mill of Graz built?"
PLAIN = "\n\n".join(PASSAGES)
NUMBERED = "\n".join(f"[{number + 1}] {text}" for number, text in enumerate(PASSAGES))
TAGGED = "\n".join(f"<passage>{text}</passage>" for text in PASSAGES)
HEADED = "\n\n".join(f"### {town}\n\n{text}" for town, text in zip(TOWNS, PASSAGES, strict=True))
FORMS = {
    "tagged": f"{TAGGED}\n\nQuestion: {ASKED}",
    "labelled": f"Context:\n\n{PLAIN}\n\nQuestion: {ASKED}",
    "labelled on the line": f"Context: {PLAIN}\n\nQuestion: {ASKED}\n\nAnswer:",
    "numbered under a label": f"Use these sources:\n{NUMBERED}\n\nQuestion: {ASKED}",
    "numbered": f"{NUMBERED}\n\n{ASKED}",
    "markdown": f"## Context\n\n{PLAIN}\n\n## Question\n\n{ASKED}",
    "markdown with titles": f"# Context\n\n{HEADED}\n\n# Question\n{ASKED}",
    "question first": f"Question: {ASKED}\n\nContext:\n{PLAIN}",
    "between rules": f"Context information is below.\n-----\n{PLAIN}\n-----\n"
    f"Given the context information and not prior knowledge, answer the query.\nQuery: {ASKED}\nAnswer: ",
    "asked for at the end": "Use the following pieces of context to answer the question at the end.\n\n"
    f"{PLAIN}\n\nQuestion: {ASKED}\nHelpful Answer:",
    "Vietnamese": f"Ngữ cảnh:\n\n{PLAIN}\n\nCâu hỏi: {ASKED}",
    "Japanese": f"参考資料：\n\n{PLAIN}\n\n質問：{ASKED}",
}


@pytest.mark.parametrize("form", FORMS)
def test_passages_are_found_in_every_common_form_and_ask_the_same(form):
    text = FORMS[form]
    (turn,) = context_turns([user(text)])
    assert turn.question == ASKED
    assert [piece.text for piece in turn.pieces] == list(PASSAGES)
    assert Request(protocol="openai", model="m", messages=(user(text),)).question in (ASKED, f"Question: {ASKED}")
    assert rewrite([user(text)], [(piece, piece.text) for piece in turn.pieces])[0].text.split() == text.split()


@pytest.mark.parametrize("form", FORMS)
def test_taking_passages_away_leaves_the_labels_the_instructions_and_the_rest(form):
    text = FORMS[form]
    (turn,) = context_turns([user(text)])
    left = rewrite([user(text)], [(piece, piece.text if "Graz" in piece.text else "") for piece in turn.pieces])[0].text
    assert PASSAGES[2] in left
    assert ASKED in left
    assert not any(town in left for town in TOWNS if town != "Graz")
    assert left.split("The mill")[0].split()[:3] == text.split("The mill")[0].split()[:3] or form in (
        "numbered", "numbered under a label", "markdown with titles",
    )  # fmt: skip
    assert "prior knowledge" in left or form != "between rules"


def test_titles_of_headed_passages_are_titles():
    (turn,) = context_turns([user(FORMS["markdown with titles"])])
    assert [piece.title for piece in turn.pieces] == list(TOWNS)


@pytest.mark.parametrize("context", [TAGGED, f"Context:\n\n{PLAIN}", NUMBERED, f"## Sources\n\n{PLAIN}"])
def test_passages_in_the_system_prompt_belong_to_the_last_question(context):
    system = (Text(f"You help visitors of mills.\n\n{context}"),)
    (turn,) = context_turns([user(ASKED)], system=system)
    assert turn.question == ASKED
    assert [piece.text for piece in turn.pieces] == list(PASSAGES)
    kept = [(piece, piece.text if "Graz" in piece.text else "") for piece in turn.pieces]
    (left,) = rewrite_system(system, kept)
    assert left.text.startswith("You help visitors of mills.")
    assert PASSAGES[2] in left.text
    assert "Porto" not in left.text


def test_what_no_question_stands_beside_is_no_context():
    story = "\n\n".join(PASSAGES)
    assert context_turns([user(story)]) == []
    assert context_turns([user(f"Please shorten this story.\n\n{story}")]) == []
    code = "\n".join(f"total = total + values[{number}]  # add" for number in range(60))
    assert context_turns([user(f"What does this do?\n\n{code}")]) == []


def test_long_texts_without_passages_say_why():
    def request(*messages, system=()):
        return Request(protocol="openai", model="m", messages=messages, system=system)

    def reasons(asked):
        turns = context_turns(asked.messages, (), asked.system)
        return [reason for _, reason in unfound(asked, turns, ())]

    assert reasons(request(user(FORMS["labelled"]))) == []
    (why,) = reasons(request(user(ASKED), system=(Text("Answer from these.\n\n" + PLAIN * 2),)))
    assert "<document>" in why
    call = Message("assistant", (ToolUse("c1", "fetch_page"),))
    results = Message("user", (ToolResult("c1", (Text(PLAIN * 2),)),))
    (why,) = reasons(request(user(ASKED), call, results))
    assert "fetch_page" in why
    assert "stages.prune.tools" in why


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
