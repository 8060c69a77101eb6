"""Which answers state the same facts, without a model."""

import pytest

from hapenny.core.events import Choice, Completion
from hapenny.core.messages import Text, ToolUse
from hapenny.evidence.facts import Said, compared, said


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Distant Kitchen, volume 5, costs 9.70 euros.", "Volume 5 of Distant Kitchen is 9.70 euros."),
        ("We have 50 copies of Upside-Down Cartographer, volume 4.", "Of volume 4 of Upside-Down Cartographer: 50."),
        ("The answer is four.", " the answer is  FOUR "),
        ("琥珀の剣士は10.87ユーロです。", "『琥珀の剣士』は10.87ユーロ(税込)です。"),
    ],
)
def test_the_same_facts_in_other_words_are_no_difference(first, second):
    assert compared(Said(first), Said(second)) == "same"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("It costs 9.70 euros.", "It costs 9.30 euros."),
        ("Opened volumes can be returned within 30 days.", "Opened volumes cannot be returned within 30 days."),
        ("Take the 2 of Distant Kitchen.", "Take the 2 of Silver Teahouse."),
        ("Yes, of course.", "Certainly."),
        (
            "最初の3巻では真夜中の天文台のほうが11.58ユーロ安いです。",
            "最初の3巻では琥珀の操縦士のほうが11.58ユーロ安いです。",
        ),
        ("2巻は返品できます。", "2巻は返品できません。"),
    ],
)
def test_what_is_not_plain_is_left_to_a_judge(first, second):
    assert compared(Said(first), Said(second)) == "open"


def test_tool_calls_are_compared_by_name_and_arguments():
    call = Said('{"order_id": "H-1", "full": true}', ("order_status",))
    assert compared(call, Said('{"full":true,"order_id":"h-1"}', ("order_status",))) == "same"
    assert compared(call, Said('{"order_id": "H-2", "full": true}', ("order_status",))) == "open"
    assert compared(call, Said('{"order_id": "H-1", "full": true}', ("stock_check",))) == "open"
    assert compared(call, Said("Your order H-1 is on its way.")) == "open"


def test_an_answer_shows_its_calls_to_the_judge():
    answer = said(Completion(choices=[Choice(content=[Text("Let me see. "), ToolUse("1", "look", '{"a": 1}')])]))
    assert answer == Said('Let me see. {"a": 1}', ("look",))
    assert Said('{"a": 1}', ("look",)).shown() == 'look({"a": 1})'
