"""Requests in parts: split, answered side by side, joined."""

import json

import pytest

from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import load
from hapenny.core.errors import Failure
from hapenny.core.messages import Parameters
from hapenny.gateway.gateway import Gateway
from hapenny.gateway.parallel import TAG, parallel
from hapenny.responsive.parallel import Part, by_rule, listed
from hapenny.simulation import loop
from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.provider import SimulatedProvider

FAST = MANGA_2024.of_tier("fast").id
CONFIG = load(
    text=json.dumps(
        {
            "routes": {"default": {"holdout": 0, "stages": {"exact": "off", "flights": "off"}}},
            "ledger": {"path": ":memory:"},
        }
    )
)
PARTS = tuple(Part(question=f"What is in volume {number}?", name=f"Volume {number}") for number in range(1, 5))


def played(parts=PARTS, *, backend=None, **more):
    """Parts through a whole gateway: what came of them, what was told, and their rows."""

    async def main(clock):
        behind = (backend or SimulatedBackend)("simulated", SimulatedProvider(clock, MANGA_2024))
        told = []

        async def tell(event, number, text):
            told.append((event, number, text))

        async with Gateway(CONFIG, clock=clock, backends={"simulated": behind}) as gateway:
            joined = await parallel(
                gateway, parts, model="strong", parameters=Parameters(max_tokens=300, temperature=0.0), group="par_1",
                tell=tell, **more,
            )  # fmt: skip
            await gateway.ledger.flush()
            rows = [await gateway.ledger.get(said.request) for said in joined.parts if said.request]
            return joined, told, rows

    return loop.run(main)


class Failing(SimulatedBackend):
    """Answers nothing about volume 2."""

    fails = ("volume 2",)

    async def call(self, request, target, limits):
        if any(word in request.messages[-1].text for word in self.fails):
            raise Failure("invalid_request", "no such volume")
        return await super().call(request, target, limits)


class Down(Failing):
    fails = ("volume",)


def test_parts_take_as_long_as_the_slowest_and_cost_what_all_of_them_cost():
    joined, _, rows = played()
    assert joined.seconds == pytest.approx(joined.slowest)
    assert joined.in_turn / joined.seconds >= 0.9 * joined.in_turn / joined.slowest > 2
    assert joined.cost == sum(row.actual for row in rows)
    assert {row.tags[TAG] for row in rows} == {"par_1"}
    assert joined.text.startswith("**Volume 1.** ")


def test_what_comes_is_told_as_it_comes_and_every_part_has_an_end():
    joined, told, _ = played()
    texts = dict.fromkeys(range(4), "")
    for event, number, text in told:
        if event == "delta":
            texts[number] += text
    assert [texts[number] for number in range(4)] == [said.text for said in joined.parts]
    order = [number for event, number, _ in told if event == "delta"]
    assert order != sorted(order)
    assert sorted(number for event, number, _ in told if event == "done") == [0, 1, 2, 3]
    assert told[-1] == ("answer", -1, joined.text)


def test_a_part_may_have_a_tier_of_its_own():
    joined, _, rows = played((Part(question="What is in volume 1?", model="fast"), *PARTS[1:]))
    assert [said.model == FAST for said in joined.parts] == [True, False, False, False]
    assert rows[0].model_asked == "fast"


def test_one_failed_part_does_not_sink_the_answer():
    joined, told, _ = played(backend=Failing)
    assert [said.failure for said in joined.parts] == ["", "invalid_request", "", ""]
    assert ("failed", 1, "invalid_request") in told
    assert "**Volume 2.** (not answered: invalid_request)" in joined.text


def test_where_all_fail_the_answer_fails():
    with pytest.raises(Failure, match="none of the 4 parts"):
        played(backend=Down)


def test_no_more_parts_than_wanted_are_asked_at_once():
    narrow, _, _ = played(width=1)
    assert narrow.seconds == pytest.approx(narrow.in_turn)


@pytest.mark.parametrize("count", [0, 33])
def test_none_and_too_many_are_refused(count):
    with pytest.raises(Failure, match="1 to 32"):
        played((PARTS[0],) * count)


def test_a_model_joins_and_is_paid_for():
    joined, told, rows = played(join_model="fast", text="All four volumes, please")
    assert joined.joined_by.model == FAST
    assert joined.text == joined.joined_by.text
    assert joined.cost == sum(row.actual for row in rows) + joined.joined_by.cost
    assert "".join(text for event, _, text in told if event == "answer") == joined.text


def test_a_model_that_splits_badly_leaves_the_parts_as_they_were():
    joined, _, _ = played(split_model="fast", text="All four volumes, please")
    assert len(joined.parts) == 4
    assert joined.split_by.cost > 0


def test_a_text_is_split_where_it_says_so_itself():
    assert [part.question for part in by_rule("What is A? And who wrote B? Thanks.")] == [
        "What is A?", "And who wrote B? Thanks.",
    ]  # fmt: skip
    assert [
        part.question for part in by_rule("For each tell me the price:\n1. Volume 3\n2. Volume 4,\nthe blue one")
    ] == [
        "For each tell me the price:\nVolume 3",
        "For each tell me the price:\nVolume 4,\nthe blue one",
    ]
    assert [part.question for part in by_rule("第1巻はいくらですか？第2巻は？")] == [
        "第1巻はいくらですか？",
        "第2巻は？",
    ]
    assert [part.question for part in by_rule("Tell me about volume 3")] == ["Tell me about volume 3"]
    assert len(by_rule("a?" * 40)) == 1
    assert by_rule("Really?!? And how?")[0].question == "Really?!?"


def test_a_models_list_is_read_and_nothing_else():
    assert [part.question for part in listed('Here: ["a", " b ", ""] done', model="fast")] == ["a", "b"]
    assert listed("no list") == listed("[1, 2]") == listed("]...[") == ()
