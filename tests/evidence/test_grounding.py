"""An answer stands on the evidence in its request, or it does not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.messages import Message, Request, Text, Tool, ToolResult, ToolUse
from hapenny.evidence.facts import Said
from hapenny.evidence.grounding import MOST_EVIDENCE, grounded

SHELF = """<document>
Paper Lantern, volume 3 (PL-03)
Price: 8.40 euros. 12 copies in stock. Published on 2024-05-19.
</document>
<document>
Paper Lantern, volume 4 (PL-04)
Price: 9.10 euros. 3 copies in stock. Published on 2024-09-02.
</document>
<document>
Returns
Unread volumes can be sent back within 30 days of delivery. Signed editions cannot be returned.
</document>
"""


def asked(question, evidence=SHELF):
    return Request(protocol="openai", model="auto", messages=(Message("user", (Text(f"{evidence}\n{question}"),)),))


def carried(answer, question, evidence=SHELF):
    return grounded(Said(answer), asked(question, evidence), question)


PRICE = "What does Paper Lantern volume 4 cost?"


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        ("Paper Lantern volume 4 costs 9.10 euros. I am happy to look up more.", PRICE),
        ("Paper Lantern volume 4 costs 9,10 euros.", PRICE),
        ("Volume 3 of Paper Lantern was published on 19 May 2024.", "When did Paper Lantern volume 3 come out?"),
        ("Unread volumes can be sent back within 30 days of delivery.", "How long can I send unread volumes back?"),
        ("Signed editions cannot be returned.", "Are signed editions returned?"),
    ],
)
def test_what_one_passage_says_is_carried(answer, question):
    assert carried(answer, question)


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        ("Paper Lantern volume 4 costs 8.40 euros.", PRICE),  # the neighbour's price
        ("Paper Lantern volume 4 costs 9.99 euros.", PRICE),  # nobody's
        ("Signed editions can be returned.", "Are signed editions returned?"),  # the opposite
        ("Unread volumes can be sent back within 14 days of delivery.", "How long can I send unread volumes back?"),
        ("You are welcome. Have a lovely day!", "Thank you!"),  # chatter is nobody's claim
        ("", PRICE),
    ],
)
def test_what_no_passage_says_is_not(answer, question):
    assert not carried(answer, question)


RECORDS = (("Paper Lantern", 3, "8.40"), ("Paper Lantern", 4, "9.10"), ("Glass Harbour", 4, "7.20"))
FORMS = {
    "doc": "".join(f"<doc id={n}>\n{name}, volume {n}. Price: {price} euros.\n</doc>\n" for name, n, price in RECORDS),
    "snippets": "<snippets>"
    + "".join(f"<snippet>{name}, volume {n}. Price: {price} euros.</snippet>" for name, n, price in RECORDS)
    + "</snippets>",
    "search_result": "".join(
        f'<search_result index="{n}">{name}, volume {n}. Price: {price} euros.</search_result>'
        for name, n, price in RECORDS
    ),
    "numbered": "".join(
        f"[{at}] {name}, volume {n}. Price: {price} euros.\n" for at, (name, n, price) in enumerate(RECORDS)
    ),
    "sources": "".join(
        f"Source {at}: {name}, volume {n}. Price: {price} euros.\n" for at, (name, n, price) in enumerate(RECORDS)
    ),
    "headings": "".join(f"## {name}, volume {n}\nPrice: {price} euros.\n" for name, n, price in RECORDS),
    "rulers": "\n---\n".join(f"{name}, volume {n}\nPrice: {price} euros." for name, n, price in RECORDS),
    "table": "| title | volume | price |\n|---|---|---|\n"
    + "".join(f"| {name} | {n} | {price} |\n" for name, n, price in RECORDS),
    "bullets": "Our prices:\n" + "".join(f"- {name}, volume {n}: {price} euros\n" for name, n, price in RECORDS),
    "lines": "title,volume,price\n" + "".join(f"{name},volume {n},{price}\n" for name, n, price in RECORDS),
    "json": json.dumps([{"title": name, "volume": n, "price": price} for name, n, price in RECORDS]),
    "json below": json.dumps(
        {"shop": "north", "books": [{"title": name, "volume": n, "price": price} for name, n, price in RECORDS]}
    ),
    "json said": "Results: "
    + json.dumps([{"title": name, "volume": n, "price": price} for name, n, price in RECORDS])
    + " (three found)",
    "json lines": "".join(
        json.dumps({"title": name, "volume": n, "price": price}) + "\n" for name, n, price in RECORDS
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_however_passages_are_written_a_neighbours_value_is_not_taken(form):
    evidence = FORMS[form]
    assert carried("Paper Lantern volume 4 costs 9.10 euros.", PRICE, evidence)
    assert not carried("Paper Lantern volume 4 costs 8.40 euros.", PRICE, evidence)
    assert not carried("Paper Lantern volume 4 costs 7.20 euros.", PRICE, evidence)


@pytest.mark.parametrize("form", ["json", "json below"])
def test_a_tool_that_returns_a_list_does_not_mix_its_records_up(form):
    messages = (
        Message("user", (Text(PRICE),)),
        Message("assistant", (ToolUse("c", "search", "{}"),)),
        Message("tool", (ToolResult("c", (Text(FORMS[form]),)),)),
    )
    request = Request(protocol="openai", model="auto", messages=messages)
    assert grounded(Said("Paper Lantern volume 4 costs 9.10 euros."), request, PRICE)
    assert not grounded(Said("Paper Lantern volume 4 costs 8.40 euros."), request, PRICE)


def test_a_long_list_with_much_beside_it_is_not_written_out_over_and_over():
    huge = json.dumps({"about": "x" * 50_000, "rows": [{"n": number} for number in range(5_000)]})
    assert not carried("Paper Lantern volume 4 costs 9.10 euros.", PRICE, huge)


def test_an_answer_of_thousands_of_sentences_is_not_compared_with_thousands():
    rows = "".join(f"Paper Lantern, volume {n}. Price: {n}.10 euros.\n" for n in range(2_000))
    answer = " ".join(f"Paper Lantern volume {n} costs {n}.10 euros." for n in range(300))
    assert not carried(answer, PRICE, f"<document>\n{rows}</document>")


def test_other_languages():
    evidence = "<document>\n紙の灯籠 第3巻\n価格は8.40ユーロ。在庫12冊。\n</document>\n"
    assert carried("『紙の灯籠』3巻の価格は8.40ユーロです。", "紙の灯籠3巻の価格は?", evidence)
    assert not carried("『紙の灯籠』3巻の価格は7.40ユーロです。", "紙の灯籠3巻の価格は?", evidence)
    evidence = "<document>\nĐèn Giấy, tập 3\nGiá: 8.40 euro. Còn 12 bản trong kho.\n</document>\n"
    assert carried("Đèn Giấy tập 3 có giá 8.40 euro.", "Đèn Giấy tập 3 giá bao nhiêu?", evidence)
    assert not carried("Đèn Giấy tập 3 có giá 8.90 euro.", "Đèn Giấy tập 3 giá bao nhiêu?", evidence)


def test_without_evidence_nothing_is_carried():
    assert not grounded(Said("It costs 9.10 euros."), asked(PRICE, ""), PRICE)


def test_earlier_answers_of_the_model_are_no_evidence():
    messages = (
        Message("user", (Text("Hello"),)),
        Message("assistant", (Text("Paper Lantern volume 4 costs 9.99 euros."),)),
        Message("user", (Text(PRICE),)),
    )
    request = Request(protocol="openai", model="auto", messages=messages)
    assert not grounded(Said("Paper Lantern volume 4 costs 9.99 euros."), request, PRICE)


def after_a_tool(result):
    messages = (
        Message("user", (Text("Where is order H-4711?"),)),
        Message("assistant", (ToolUse("c", "order_status", '{"order_id": "H-4711"}'),)),
        Message("tool", (ToolResult("c", (Text(json.dumps(result)),)),)),
    )
    return Request(protocol="openai", model="auto", messages=messages)


def test_the_result_of_a_tool_carries_an_answer():
    request = after_a_tool({"order_id": "H-4711", "state": "shipped", "expected": "2026-01-07"})
    question = "Where is order H-4711?"
    assert grounded(Said("Order H-4711 is shipped and expected on 7 January 2026."), request, question)
    assert not grounded(Said("Order H-4711 is shipped and expected on 9 January 2026."), request, question)


def test_a_call_is_carried_by_what_was_said():
    tool = Tool("order_status", "Looks up an order.", {"type": "object"})
    question = "Where is order H-4711?"
    request = Request(protocol="openai", model="auto", messages=(Message("user", (Text(question),)),), tools=(tool,))
    assert grounded(Said('{"order_id": "H-4711"}', ("order_status",)), request, question)
    assert not grounded(Said('{"order_id": "H-4712"}', ("order_status",)), request, question)
    assert not grounded(Said('{"order_id": "H-4711"}', ("refund",)), request, question)
    assert not grounded(Said("{}", ("order_status",)), request, question)
    assert not grounded(Said('{"order_id": ', ("order_status",)), request, question)


def test_more_than_is_looked_at_is_not_carried():
    assert not carried("Paper Lantern volume 4 costs 9.10 euros.", PRICE, SHELF + "x " * MOST_EVIDENCE)


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=80))
def test_any_text_is_judged(answer, evidence, question):
    assert grounded(Said(answer), asked(question, evidence), question) in (True, False)
