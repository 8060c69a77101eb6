"""A simulated judge knows the truth, errs as often as its card says, and half of its errors keep their place."""

import msgspec
import pytest

from hapenny.caching.semantic import judging as semantic
from hapenny.core.messages import Message, Parameters, Request, Text
from hapenny.evidence import llm
from hapenny.simulation.cards import MANGA_2024
from hapenny.simulation.loop import VirtualClock, run
from hapenny.simulation.provider import SimulatedProvider
from hapenny.simulation.workload.shoppers import Message as Said
from tests.simulation.helpers import HAIKU, SONNET
from tests.simulation.test_voice import GROUNDED, TRUTH, ask, asked_of, provider_of

PERFECT = msgspec.structs.replace(
    MANGA_2024, models=tuple(msgspec.structs.replace(model, judge_error=0.0) for model in MANGA_2024.models)
)


def judge_of(provider: SimulatedProvider, model: str = SONNET) -> object:
    async def judged(prompt: str) -> str:
        request = Request(
            protocol="openai",
            model=model,
            messages=(Message("user", (Text(prompt),)),),
            parameters=Parameters(max_tokens=256),
        )
        return (await ask(provider, request, model)).text

    return judged


def pairs() -> list[tuple[Said, str, str, float]]:
    """Question, candidate, baseline, and the score a judge that never errs gives."""
    cases = []
    for message in GROUNDED[:60]:
        right, wrong = message.item.right, message.item.wrong
        cases.append((message, right[0], right[-1], 0.5))
        if not message.item.grade(wrong[0]):
            cases.append((message, wrong[0], right[0], 0.0))
            cases.append((message, right[0], wrong[0], 1.0))
    return cases


def test_a_judge_without_errors_tells_right_from_wrong_and_sees_the_same_facts() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock, PERFECT, truth=TRUTH)
        for message, candidate, baseline, score in pairs():
            verdict = await llm.compare(judge_of(provider), message.text, candidate, baseline)  # type: ignore[arg-type]
            if message.follows:  # a judge does not see the turn before, and so not which question is meant
                continue
            assert verdict.score == score, (message.text, candidate, baseline)
            assert verdict.consistent

    run(main)


def test_a_judge_errs_as_often_as_its_card_says() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock, latents=3)
        judged = judge_of(provider, HAIKU)
        errors = answers = turned = 0
        for message, candidate, baseline, score in pairs():
            if message.follows or candidate == baseline:
                continue
            wanted = {0.5: "tie", 0.0: "B", 1.0: "A"}[score]
            verdicts = []
            for first, second in ((candidate, baseline), (baseline, candidate)):
                prompt = llm.PROMPT.format(question=message.text, first=first, second=second, reference="")
                verdicts.append((await judged(prompt)).removeprefix("Verdict: "))  # type: ignore[operator]
            swapped = {"A": "B", "B": "A", "tie": "tie"}[verdicts[1]]
            errors += (verdicts[0] != wanted) + (swapped != wanted)
            turned += verdicts[0] != swapped
            answers += 2
        assert errors / answers == pytest.approx(0.134, abs=0.06)
        assert 0 < turned < errors

    run(main)


def test_same_and_different_is_another_form_of_the_question() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock, PERFECT, truth=TRUTH)
        judged = judge_of(provider)
        for message, candidate, baseline, score in pairs()[:60]:
            if message.follows:
                continue
            prompt = semantic.PROMPT.format(question=message.text, first=candidate, second=baseline)
            reply = await judged(prompt)  # type: ignore[operator]
            assert reply == ("SAME" if score == 0.5 else "DIFFERENT")

    run(main)


def test_the_provider_knows_its_own_answers_to_questions_nobody_told_it() -> None:
    from tests.simulation.helpers import ask as plain
    from tests.simulation.helpers import questions, text_of

    async def main(clock: VirtualClock) -> None:
        provider = SimulatedProvider(clock, PERFECT)
        seen = set()
        for question in questions(60):
            texts = []
            for model in (HAIKU, SONNET):
                call = await provider.call(plain(question, model=model))
                events = []
                while (batch := await call.read()) is not None:
                    events += batch
                texts.append(text_of(events))
            verdict = await llm.compare(judge_of(provider), question, *texts)  # type: ignore[arg-type]
            seen.add(verdict.score)
        assert seen == {0.0, 0.5, 1.0}

    run(main)


def test_what_shows_no_two_answers_is_no_judges_prompt() -> None:
    async def main(clock: VirtualClock) -> None:
        provider = provider_of(clock)
        text = (await ask(provider, asked_of(GROUNDED[0]))).text
        assert "Verdict" not in text

    run(main)
