"""Prose says each thing once: what goes, what must stay, and what the stage sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.core.messages import Message, Text
from hapenny.tokens.options import ProseOptions
from hapenny.tokens.prose import MOST, Said, shorter
from hapenny.tokens.prose_stage import ProseStage
from tests.core.house import exchange
from tests.tokens.test_stages import PRICES, served, user

RULES = """You are the assistant of a bookshop. Please note that you must always answer in English.

==========
It is important that you never ask for a PIN. You must always answer in English.
- Refunds take 5 days to arrive on the account.
- Refunds take 10 days to arrive on the account abroad.
- **Always be polite** to every customer who asks.
- To every customer who asks, always be polite.
- Cards can be returned to the shop on weekdays.
- Cards cannot be returned to the shop on weekdays.
"""


def once(text):
    return shorter(text, Said())


def test_what_is_said_twice_goes_and_all_else_stays_in_its_words():
    short = once(RULES)
    assert short.count("answer in English") == 1
    assert short.count("polite") == 1
    assert "You must always answer in English." in short
    assert "Please note" not in short and "=====" not in short and "**" not in short
    for line in RULES.splitlines():
        if line.startswith(("- Refunds", "- Cards")):  # another number, another sign: another rule
            assert line in short


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("お問い合わせには必ず日本語で回答してください。返品は30日以内です。お問い合わせには必ず日本語で回答してください。",
         "お問い合わせには必ず日本語で回答してください。返品は30日以内です。"),
        ("Xin lưu ý rằng bạn luôn trả lời bằng tiếng Việt. Đổi trả trong 30 ngày. Bạn luôn trả lời bằng tiếng Việt.",
         "Bạn luôn trả lời bằng tiếng Việt. Đổi trả trong 30 ngày."),
    ],
)  # fmt: skip
def test_other_languages(text, stays):
    assert once(text).casefold() == stays.casefold()


@pytest.mark.parametrize(
    "text",
    [
        "```\nprint('say it again please now')\nprint('say it again please now')\n```",
        "| a | b |\n| say it again now please | 1 |\n| say it again now please | 1 |",
        "<rule>say it again now please</rule>\n<rule>say it again now please</rule>",
        "Hello {name}, we say it again now.\nHello {name}, we say it again now.",
        "Yes.\nNo.\nYes.\nNo.",
    ],
)
def test_what_may_have_to_be_quoted_stays(text):
    assert once(text) == text


def test_an_example_whose_long_answer_was_given_goes_and_labels_stay():
    answer = "Unread volumes can be sent back within thirty days of delivery."
    text = f"Example. Customer: May I return it? You: {answer}\nExample. Customer: Until when can I? You: {answer}"
    assert once(text) == text.splitlines()[0]
    labels = "Example. Input: I love it. Output: positive\nExample. Input: How good. Output: positive"
    assert once(labels) == labels


@given(st.text(max_size=600))
def test_nothing_is_written_anew(text):
    short = once(text)
    assert len(short) <= len(text)
    letters = iter(text.casefold())
    assert all(letter in letters for letter in short.casefold() if not letter.isspace())


def test_a_text_that_is_too_long_is_left_as_it_is():
    text = "Say it again and again. " * (MOST // 20)
    assert len(text) > MOST
    assert once(text) == text


def stage():
    return ProseStage(PRICES, ProseOptions())


LONG = (
    RULES + "\n".join(f"- Rule {n}: the shelf of letter {chr(65 + n)} stands in hall {n}." for n in range(20)) + RULES
)


async def test_the_stage_sends_what_stays_and_says_what_it_saved():
    there = exchange(system=(Text(LONG),))
    _, terminal = await served(stage(), there)
    sent = terminal.seen[0][0]
    assert sent.system[0].text == once(LONG)
    assert sent.messages == there.original.messages
    (taken,) = there.decisions
    assert 0 < taken.decision.after < taken.decision.before
    assert taken.decision.would_save > 0
    assert there.steps[-1].technique == "prose"


async def test_in_shadow_nothing_is_changed():
    there = exchange(system=(Text(LONG),))
    before = there.request
    _, terminal = await served(stage(), there, "shadow")
    assert terminal.seen[0][0] == before
    assert there.decisions[0].decision.would_save > 0


async def test_earlier_answers_lose_what_they_repeat_and_the_customers_words_stay():
    closing = "If you have any other questions about your order, please do not hesitate to ask us at any time of day."
    talk = []
    for n in range(4):
        talk += [user(f"{closing} {n}"), Message("assistant", (Text(f"Parcel {n} is on its way to you. {closing}"),))]
    there = exchange(messages=(*talk, user(closing)))
    _, terminal = await served(stage(), there)
    sent = terminal.seen[0][0].messages
    assert [message.text for message in sent if message.role == "user"] == [
        message.text for message in there.original.messages if message.role == "user"
    ]
    said = [message.text for message in sent if message.role == "assistant"]
    assert sum(closing in text for text in said) == 1
    assert all(f"Parcel {n} is on its way to you." in text for n, text in enumerate(said))


async def test_a_conversation_that_goes_on_has_the_same_bytes_in_front():
    one = stage()
    turns = [user("Hello"), Message("assistant", (Text(f"{RULES} Hello to you as well."),)), user("And now?")]
    first = exchange(system=(Text(LONG),), messages=tuple(turns))
    _, terminal = await served(one, first)
    turns += [Message("assistant", (Text("Hello to you as well. Now it is noon here in the shop."),)), user("Thanks")]
    second = exchange(system=(Text(LONG),), messages=tuple(turns))
    _, later = await served(one, second)
    before, after = terminal.seen[0][0], later.seen[0][0]
    assert after.system == before.system
    assert after.messages[:2] == before.messages[:2]


async def test_short_instructions_are_not_looked_at():
    there = exchange(system=(Text("Be brief. Be brief."),))
    await served(stage(), there)
    assert there.decisions == []
