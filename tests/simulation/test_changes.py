"""A model can change while it serves: worse, or in other words."""

import pytest

from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.changes import Change
from hapenny.simulation.loop import VirtualClock, run
from hapenny.simulation.provider import SimulatedProvider
from tests.simulation.helpers import HAIKU, HAIKU_ID, SONNET
from tests.simulation.test_voice import GROUNDED, ask, asked_of, provider_of


async def graded(provider: SimulatedProvider, model: str = HAIKU) -> list[bool]:
    return [message.item.grade((await ask(provider, asked_of(message), model)).text) for message in GROUNDED]


def test_a_share_of_its_answers_becomes_wrong_and_no_other_models() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock)
        before, strong = await graded(provider), await graded(provider, SONNET)
        provider.changes.add(Change(model=HAIKU_ID, wrong=0.3))
        after = await graded(provider)
        assert all(old or not new for old, new in zip(before, after, strict=True))
        lost = 1 - sum(after) / sum(before)
        assert lost == pytest.approx(0.3, abs=0.09)
        assert await graded(provider) == after
        assert await graded(provider, SONNET) == strong

    run(main)


def test_a_change_holds_from_the_call_it_names() -> None:
    async def main(clock: VirtualClock) -> None:
        usual = await graded(provider_of(clock))
        late = provider_of(clock, changes=[Change(wrong=1.0, after=100)])
        answers = await graded(late)
        assert answers[:99] == usual[:99]
        assert not any(answers[99:])

    run(main)


def test_the_same_facts_in_other_words() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock)
        old = [(await ask(provider, asked_of(each))).text for each in GROUNDED[:60]]
        provider.changes.add(Change(reworded=True))
        new = [(await ask(provider, asked_of(each))).text for each in GROUNDED[:60]]
        for each, before, after in zip(GROUNDED[:60], old, new, strict=True):
            assert each.item.grade(before) == each.item.grade(after)
        assert sum(before != after for before, after in zip(old, new, strict=True)) > 50

    run(main)


def test_a_share_is_a_share() -> None:
    async def main(clock: VirtualClock) -> None:
        with pytest.raises(ValueError, match="wrong: 30 is no share"):
            SimulatedProvider(clock, MANGA_2024).changes.add(Change(wrong=30))

    run(main)
