"""Templates answer only where words and dialogue both fit, and are refused with path and fix where they are wrong."""

from pathlib import Path

import pytest

from hapenny.tokens.templates import TemplateError, Templates, Turn, read, suggest

SHIPPED = Templates.shipped()


def fired(user: str, assistant: str, **rest) -> str | None:
    found = SHIPPED.match(Turn(user=user, assistant=assistant, turns=rest.pop("turns", 2), **rest))
    return found.name if found else None


@pytest.mark.parametrize(
    ("user", "assistant"),
    [
        ("No, thanks.", "Is there anything else I can help you with?"),
        ("No, that's all. Thank you so much!", "Can I help you with anything else?"),
        ("Không, cảm ơn bạn.", "Bạn còn cần gì nữa không?"),
    ],
)
def test_closing_after_an_offer_of_more_help(user: str, assistant: str) -> None:
    assert fired(user, assistant) == "closing"


@pytest.mark.parametrize(
    ("user", "assistant"),
    [
        ("No, thanks.", "Shall I book the table for two at seven?"),
        ("No, thanks.", "Would you like to book another table?"),
        ("No, I need a taxi.", "Is there anything else I can help you with?"),
        ("No, I still need more help", "Anything else?"),
        ("No, that is not it", "Anything else?"),
        ("No, I want that", "Anything else?"),
        ("Nothing was done!", "Anything else?"),
        ("None of this was helpful", "Anything else?"),
        ("No. Is that all?", "Anything else?"),
        ("That's all, thanks", "Your table could not be booked."),
        ("Thanks!", "Your table is booked."),
        ("No 2 please", "Anything else?"),
        ("", "Anything else?"),
    ],
)
def test_everything_else_goes_to_the_model(user: str, assistant: str) -> None:
    assert fired(user, assistant) is None


def test_after_success_only_an_explicit_end_closes() -> None:
    assert fired("Great, that's all I need, thanks.", "Your table has been booked.") == "closing-after-success"


def test_greeting_only_opens_a_dialogue() -> None:
    assert fired("Hello there!", "", turns=0) == "greeting"
    assert fired("Hello there!", "Your table is booked.", turns=1) is None
    assert fired("Hello, where is my order?", "", turns=0) is None


def test_words_that_only_one_template_knows_are_enough() -> None:
    own = """
locale: en
templates:
  - {name: ping, user: {any: ["^ping zyx$"]}, text: [pong]}
"""
    both = Templates.of_files(Templates.shipped_files())
    mixed = Templates([read(file.read_text("utf-8")) for file in Templates.shipped_files()] + [read(own)])
    assert both.match(Turn(user="Ping zyx")) is None
    fired = mixed.match(Turn(user="Ping zyx"))
    assert fired is not None
    assert fired.name == "ping"


def test_locale_limits_libraries() -> None:
    assert fired("No, thanks.", "Anything else?", locale="en-GB") == "closing"
    assert fired("No, thanks.", "Anything else?", locale="vi") is None


ORDER = """
locale: en
templates:
  - name: order-status
    tool: get_order
    user: {any: ["\\\\bwhere is my order\\\\b"], most_words: 12}
    values: {status: {shipped: on its way, delivered: delivered}}
    text: ["Your order {id} is {status}."]
"""


def test_order_status_is_filled_from_the_tools_answer_or_left_to_the_model() -> None:
    templates = Templates([read(ORDER)])
    turn = {"user": "Where is my order?", "tool": "get_order"}
    found = templates.match(Turn(**turn, result={"id": "A-1", "status": "shipped"}))
    assert found is not None
    assert found.text == "Your order A-1 is on its way."
    assert templates.match(Turn(**turn, result={"id": "A-1", "status": "lost"})) is None
    assert templates.match(Turn(**turn, result={"status": "shipped"})) is None
    assert templates.match(Turn(user="Where is my order?")) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("templates: [{name: a, text: [], user: {only: hi}}]", "text is empty"),
        ("templates: [{name: a, text: [x], user: {}}]", "would match everything"),
        ("templates: [{name: a, text: [x], user: {any: ['(']}}]", "Python expression"),
        ("templates: [{name: a, text: ['{id}'], user: {only: hi}}]", "name the tool"),
        ("templates: [{name: a, text: [x], user: {only: hi}, colour: red}]", "colour"),
        ("templates: [", "templates.yaml"),
    ],
)
def test_wrong_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text(text)
    with pytest.raises(TemplateError, match=message):
        Templates.of_files([path])


def test_suggestions_are_frequent_turns_of_many_users_with_one_answer() -> None:
    turns = [(f"u{n % 9}", "Anything else?", "No, thanks!", "Have a nice day") for n in range(40)]
    turns += [(f"u{n}", "Anything else?", "what are your hours", f"We open at {n}") for n in range(40)]
    turns += [("u1", "Anything else?", "ok", "Fine")] * 40
    found = suggest(turns)
    assert [(s.user, s.answer, s.turns, s.users) for s in found] == [("no thanks", "Have a nice day", 40, 9)]
