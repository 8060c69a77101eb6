"""Answers are graded by what they say; a fact stands in a prompt where one passage holds it."""

import pytest

from hapenny.simulation.workload.truth import Call, Fact, Item, Truth, holds

ITEM = Item(
    id="price",
    intent="price",
    kind="grounded",
    facts=(Fact("8.50", ("KB-1", "Paper Cranes, volume 3")),),
    right=("Paper Cranes 3 costs 8.50 euros.",),
    wrong=("Paper Cranes 3 costs 9.50 euros.",),
    must=(("Paper Cranes", "紙の鶴"), ("8.50", "8,50")),
    never=("sold out",),
    call=Call("stock_check", {"title": "Paper Cranes", "volume": 3}),
)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Paper Cranes 3 costs 8.50 euros.", True),
        ("紙の鶴は８.５０ユーロです。", True),
        ("paper cranes: 8,50", True),
        ("Paper Cranes 3 costs 18.50 euros.", False),
        ("Paper Cranes 3 costs 8.505 euros.", False),
        ("It costs 8.50 euros.", False),
        ("Paper Cranes costs 8.50 euros but is SOLD OUT.", False),
        ("", False),
    ],
)
def test_an_answer_is_right_by_what_it_says(answer: str, right: bool) -> None:
    assert ITEM.grade(answer) is right


@pytest.mark.parametrize(
    ("text", "mark", "there"),
    [
        ("within 30 days", "30 days", True),
        ("within 130 days", "30 days", False),
        ("30. days of rain, 30 days", "30 days", True),
        ("3.90 in all", "3.90", True),
        ("13.90 in all", "3.90", False),
        ("it is 3.", "3", True),
        ("it is 3.5", "3", False),
        ("A, 3, 4", "3", True),
    ],
)
def test_numbers_are_whole_numbers(text: str, mark: str, there: bool) -> None:
    assert holds(text, mark) is there


@pytest.mark.parametrize(
    ("texts", "there"),
    [
        (["Paper Cranes, volume 3 (KB-1)\nPrice: 8.50 euros."], True),
        (['{"sku": "KB-1", "price": "8.50"}'], True),
        (["KB-1, KB-2\n8.50, 7.90"], True),
        (["Price: 8.50 euros."], False),
        (["Paper Cranes, volume 3 (KB-1)"], False),
        (["<document>\nKB-1\n</document>\n<document>\nPrice: 8.50\n</document>"], False),
        (["KB-1 is nice.\n\nKB-2 costs 8.50."], False),
        (["KB-1 costs 18.50 euros."], False),
        (["first", "KB-1 is 18.50, no: 8.50"], True),
        ([], False),
    ],
)
def test_a_fact_stands_where_one_passage_holds_value_and_name(texts: list[str], there: bool) -> None:
    assert ITEM.stands_in(texts) is there


def test_a_question_without_facts_needs_none() -> None:
    assert Item(id="x", intent="x", kind="small_talk", right=("Hello",), wrong=("No",)).stands_in([])


def test_a_call_is_compared_by_tool_and_values() -> None:
    assert ITEM.called("stock_check", {"volume": "3", "title": "paper cranes"})
    assert not ITEM.called("stock_check", {"volume": 4, "title": "Paper Cranes"})
    assert not ITEM.called("stock_check", {"title": "Paper Cranes"})
    assert not ITEM.called("search", {"title": "Paper Cranes", "volume": 3})


def item(id: str) -> Item:
    return Item(id=id, intent="x", kind="grounded", right=("r",), wrong=("w",))


def test_a_question_is_found_by_its_words_and_by_what_was_said_before() -> None:
    truth = Truth([("How much is it?", "Do you have A?", item("a")), ("How much is it?", "Do you have B?", item("b"))])
    truth.add("When do you open?", item("open"))
    found = truth.find("when do you OPEN")
    assert found is not None
    assert (found[0].id, found[1]) == ("open", True)
    for before, id in (("Do you have A?", "a"), ("Hello! Do you have B?", "b")):
        found = truth.find("how much is it?", ["Do you have C?", before])
        assert found is not None
        assert (found[0].id, found[1]) == (id, True)
    lost = truth.find("how much is it?")
    assert lost is not None
    assert lost[1] is False
    assert truth.find("something else") is None


def test_a_question_can_get_another_truth() -> None:
    truth = Truth([("When?", "", item("old"))])
    truth.add("When?", item("new"))
    found = truth.find("when")
    assert found is not None
    assert found[0].id == "new"
    assert len(truth) == 1
