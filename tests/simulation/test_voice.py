"""Where the truth is known, a model is right only with the facts before it, and says so in its own words."""

import asyncio
import json

import pytest

from hapenny.core.events import Collector, Completion
from hapenny.core.messages import Message as Turn
from hapenny.core.messages import Request, Text, ToolUse
from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.grading import is_right, would_be_right
from hapenny.simulation.loop import VirtualClock, run
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.simulation.workload.mix import load
from hapenny.simulation.workload.requests import answered, request
from hapenny.simulation.workload.shop import Shop
from hapenny.simulation.workload.shoppers import Message, Population
from hapenny.simulation.workload.truth import Truth
from tests.simulation.helpers import HAIKU, HAIKU_ID, SONNET

SHOP = Shop()
MESSAGES = Population(load(), SHOP).messages(500, days=2)
TRUTH = Truth((message.text, message.follows, message.item) for message in MESSAGES)


async def ask(provider: SimulatedProvider, asked: Request, model: str = HAIKU) -> Completion:
    call = await provider.call(asked, model)
    collector = Collector()
    while (batch := await call.read()) is not None:
        for event in batch:
            collector.feed(event)
    return collector.finish()


def provider_of(clock: VirtualClock, **how: object) -> SimulatedProvider:
    return SimulatedProvider(clock, MANGA_2024, truth=TRUTH, quotas={"*": Limit()}, **how)  # type: ignore[arg-type]


def asked_of(message: Message) -> Request:
    before = [(MESSAGES[number].text, MESSAGES[number].item.right[0]) for number in message.earlier]
    return request(message, before, stream=False)


GROUNDED = [message for message in MESSAGES if message.item.kind == "grounded"]
TOOLED = [message for message in MESSAGES if message.item.call is not None]


def test_answers_are_right_as_often_as_the_card_says_and_would_be_right_agrees() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock)
        graded = []
        for message in GROUNDED:
            asked = asked_of(message)
            answer = (await ask(provider, asked)).text
            assert is_right(asked, answer, TRUTH) == message.item.grade(answer)
            assert would_be_right(provider, HAIKU, asked) == message.item.grade(answer), (message.text, answer)
            graded.append(message.item.grade(answer))
        assert sum(graded) / len(graded) == pytest.approx(0.87, abs=0.07)

    run(main)


def test_without_the_fact_nobody_is_right() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock)
        for message in GROUNDED[:80]:
            asked = request(message, [], stream=False)
            bare = Request(
                protocol="openai", model="m", messages=(Turn("user", (Text(message.text),)),), system=asked.system
            )
            if not message.follows and not message.item.stands_in([message.system]):
                assert not message.item.grade((await ask(provider, bare, SONNET)).text)

    run(main)


def test_a_follow_up_without_its_turn_is_not_understood() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock)
        following = [message for message in GROUNDED if message.follows]
        assert following
        whole, cut = 0, 0
        for message in following:
            whole += message.item.grade((await ask(provider, asked_of(message), SONNET)).text)
            cut += message.item.grade((await ask(provider, request(message, [], stream=False), SONNET)).text)
        assert cut == 0
        assert whole > len(following) / 2

    run(main)


def test_the_right_tool_is_called_and_its_result_is_read() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock)
        right_calls = right_answers = 0
        for message in TOOLED:
            asked = asked_of(message)
            (call,) = [block for block in (await ask(provider, asked)).choices[0].content if isinstance(block, ToolUse)]
            arguments = json.loads(call.arguments)
            right = message.item.called(call.name, arguments)
            result = SHOP.run(call.name, arguments, message.day)
            after = await ask(provider, answered(asked, call.id, call.name, call.arguments, result))
            good = message.item.grade(after.text)
            assert right or not good  # from a wrong call comes no right answer
            right_calls += right
            right_answers += good
        assert right_answers < right_calls < len(TOOLED)
        assert right_answers / len(TOOLED) == pytest.approx(0.875, abs=0.08)

    run(main)


def test_two_right_models_use_other_words() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock)
        both = other_words = 0
        for message in GROUNDED[:120]:
            texts = [(await ask(provider, asked_of(message), model)).text for model in (HAIKU, SONNET)]
            if all(map(message.item.grade, texts)):
                both += 1
                other_words += texts[0] != texts[1]
        assert both > 60
        assert other_words > both * 0.8

    run(main)


def test_an_answer_is_about_as_long_as_the_mix_says() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock)
        ratios = []
        for message in GROUNDED[:120]:
            tokens = (await ask(provider, asked_of(message))).tokens
            assert tokens is not None
            ratios.append(tokens.output / message.item.tokens)
        assert sum(ratios) / len(ratios) == pytest.approx(1.0, abs=0.12)

    run(main)


def test_of_two_truths_the_one_in_the_prompt_counts() -> None:
    later = Population(load(), SHOP)
    intent, subject = "price", ("price", "price", 17, "")
    days = [later.ask(intent, subject, "en", 3, day) for day in range(0, 120, 5)]
    old, new = days[0], next(each for each in days if each.item.must != days[0].item.must)
    truth = Truth([(old.text, "", old.item), (new.text, "", new.item)])
    found = truth.find(old.text, (), [f"<document>\n{passage}\n</document>" for passage in old.documents])
    assert found is not None
    assert found[0].must == old.item.must
    newest = truth.find(old.text)
    assert newest is not None
    assert newest[0].must == new.item.must


def test_answers_do_not_depend_on_who_else_is_asked() -> None:
    async def main(clock: VirtualClock) -> None:
        one, other = provider_of(clock), provider_of(clock)
        await asyncio.gather(*(ask(other, asked_of(message), SONNET) for message in GROUNDED[:20]))
        for message in GROUNDED[:20]:
            assert (await ask(one, asked_of(message))).text == (await ask(other, asked_of(message))).text

    run(main)


def test_would_be_right_needs_a_model_of_the_card() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock)
        with pytest.raises(Exception, match="no model"):
            would_be_right(provider, "no-such-model", asked_of(MESSAGES[0]))
        assert provider.find(HAIKU)[0].id == HAIKU_ID

    run(main)
