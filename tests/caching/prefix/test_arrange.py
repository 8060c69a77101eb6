"""Static text brought into the prefix: nothing lost, nothing before its time, the same from turn to turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.caching.options import PrefixOptions
from hapenny.caching.prefix.arrange import Arranger
from hapenny.caching.prefix.marks import segments
from hapenny.caching.prefix.reuse import Tariff
from hapenny.caching.prefix.stage import ModelCache, PrefixStage
from hapenny.core.messages import Document, Image, Message, Request, Text
from tests.caching.prefix.test_marks import served, words

MANUAL = "".join(
    f"{at}. Section {at} of the manual says how part {at} is mounted, oiled and kept.\n" for at in range(90)
)
EXAMPLES = "".join(f"Q: what is {at} and {at}?\nA: it is {2 * at}, as everybody can see.\n" for at in range(60))


def request(*blocks, system=(), more=()):
    blocks = [Text(block) if isinstance(block, str) else block for block in blocks]
    system = tuple(Text(text) for text in system)
    return Request(
        protocol="anthropic", model="m", system=system, messages=(Message("user", tuple(blocks)), *more)
    )  # fmt: skip


def text(blocks):
    return "".join(block.text for block in blocks)


def taught(how, prompts):
    arranger = Arranger(how)
    for prompt in prompts:
        assert arranger.arrange(prompt) == prompt, "nothing counts as static before it was seen often enough"
    return arranger


def test_a_pasted_manual_becomes_a_block_of_its_own():
    arranger = taught("split", [request(MANUAL + f"\nQuestion {at}: where is it?") for at in range(2)])
    asked = MANUAL + "\nQuestion: and how is it oiled?"
    content = arranger.arrange(request(asked)).messages[0].content
    assert text(content) == asked
    assert len(content) == 2
    assert content[0].text.startswith("0. Section")
    assert len(content[0].text) > 0.9 * len(MANUAL)


def test_what_never_came_before_stays_as_it_is():
    arranger = taught("move", [request(MANUAL + "\nWhere?")] * 5)
    other = request("".join(f"A line {at} that nobody has ever sent before this one here.\n" for at in range(90)))
    assert arranger.arrange(other) == other


def test_a_date_in_front_goes_behind_the_examples_where_moving_is_allowed():
    def prompt(day):
        return request("Which?", system=[f"Today is the {day}th of May.\n" + "x" * 120 + f"{day}\n" + EXAMPLES])

    moved = taught("move", [prompt(1), prompt(2)]).arrange(prompt(3)).system
    assert moved[0].text == EXAMPLES
    assert moved[1].text.startswith("Today is the 3th of May.")
    assert taught("split", [prompt(1), prompt(2)]).arrange(prompt(3)) == prompt(3)


def test_a_document_behind_the_question_goes_in_front_where_moving_is_allowed():
    document = Document(media_type="text/plain", text=MANUAL, name="manual")

    def prompt(at):
        return request(f"Question {at}: where is it?", document)

    content = taught("move", [prompt(1), prompt(2)]).arrange(prompt(3)).messages[0].content
    assert content == (document, Text("Question 3: where is it?"))


def test_later_turns_keep_the_arrangement_of_the_first():
    arranger = taught("split", [request(MANUAL + EXAMPLES + f"\nQuestion {at}") for at in range(2)])
    first = arranger.arrange(request(MANUAL + "\nmine"))
    for at in range(5):  # now the end of that prompt becomes static too
        arranger.arrange(request(MANUAL + f"\nmine, says {at}"))
    reply = Message("assistant", (Text("There."),))
    later = arranger.arrange(request(MANUAL + "\nmine", more=(reply, Message("user", (Text("And?"),)))))
    assert later.messages[0] == first.messages[0]


def test_pictures_are_left_alone():
    arranger = Arranger("move")
    prompt = request(Image("image/png", b"x"), MANUAL)
    assert all(arranger.arrange(prompt) is prompt for _ in range(5))


@given(st.lists(st.text("ab \n", max_size=400), min_size=1, max_size=4), st.sampled_from(["split", "move"]))
def test_no_character_is_lost(tails, how):
    arranger = Arranger(how)
    for tail in [*tails, *tails]:
        whole = MANUAL + tail
        out = text(arranger.arrange(request(whole)).messages[0].content)
        assert sorted(out) == sorted(whole)
        if how == "split":
            assert out == whole


@pytest.mark.parametrize("how", ["off", "split"])
async def test_questions_about_a_pasted_manual_read_it_from_the_prefix(clock, how):
    prefix = PrefixStage(
        lambda model: ModelCache(minimum=256, tariffs=(Tariff(300.0, 1.25),)), lambda model, said: words(said),
        PrefixOptions(arrange=how),
    )  # fmt: skip
    for at in range(12):
        clock.time += 10
        asked = MANUAL + f"\nQuestion {at}: where is part {at} of the machine, and what does it want?"
        decision, seen, _ = await served(prefix, request(asked), clock)
    assert (decision.reads > 0) == (how == "split")
    assert text(seen[0].messages[0].content) == asked


async def test_an_automatic_cache_gets_the_static_text_first(clock):
    prefix = PrefixStage(
        lambda model: ModelCache(minimum=256, tariffs=(Tariff(300.0, 1.0),), automatic=True),
        lambda model, said: words(said), PrefixOptions(arrange="move"),
    )  # fmt: skip
    for at in range(4):
        clock.time += 10
        line = (
            f"Question {at}, put in front of everything: where is the part, and what does it want from all of us, {at}?"
        )
        _, seen, _ = await served(prefix, request(line + "\n" + MANUAL), clock)
    assert seen[0].messages[0].content[0].text == MANUAL


def test_each_block_of_a_turn_may_end_the_prefix():
    document = Document(media_type="text/plain", text=MANUAL)
    chain = segments(request(document, "Where?"), "m", words)
    assert [segment.place for segment in chain] == [("messages", 0, 0), ("messages", 0, 1)]
    other = segments(request(document, "How?"), "m", words)
    assert chain[0].hash == other[0].hash
    assert chain[1].hash != other[1].hash
