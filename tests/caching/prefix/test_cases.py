"""Kinds of work, and models that are no models: what the planner makes of them."""

import pytest
from benchmarks.caching.cases import cost

from hapenny.caching.prefix.marks import segments
from hapenny.caching.prefix.stage import PrefixStage
from hapenny.caching.prefix.tariffs import of_card
from hapenny.catalog import default as catalog
from hapenny.core.exchange import Target
from hapenny.core.messages import Message, Request, Text
from tests.caching.prefix.test_marks import DOCUMENT, conversation, exchange, served, words
from tests.caching.prefix.test_marks import stage as plain_stage

ARN = "arn:aws:bedrock:us-east-1:123456789012:"


def test_prompts_that_never_come_again_are_not_written():
    assert cost("single") == pytest.approx(1.0)


def test_passages_of_a_knowledge_base_stay_out_of_the_prefix_and_the_system_prompt_in():
    assert cost("knowledge") < 0.6
    assert cost("knowledge", everything=True) > 1.2


def test_a_document_asked_about_again_is_cached():
    assert cost("document") < 0.5


def stage():
    return PrefixStage(lambda model: of_card(catalog().resolve(model)), lambda model, text: words(text))


async def planned(model, request, clock, turns=4):
    prefix, decision = stage(), None
    for _ in range(turns):
        clock.time += 5
        ex = exchange(request, clock)
        ex.target = Target(model)
        decision = await prefix.decide(ex, None)
    return decision


@pytest.mark.parametrize(
    "router", [ARN + "default-prompt-router/anthropic.claude:1", ARN + "prompt-router/abcdef123456"]
)
async def test_a_prompt_router_takes_no_marks_as_it_may_answer_with_any_model(clock, router):
    assert await planned(router, conversation(2, system=DOCUMENT * 4), clock) is None


async def test_a_managed_prompt_is_the_providers_and_takes_no_marks(clock):
    request = Request(protocol="bedrock", model=ARN + "prompt/PROMPT12345:1", messages=())
    assert await planned(request.model, request, clock) is None
    assert segments(request, request.model, words) == []


async def test_an_inference_profile_caches_as_its_model_does(clock):
    plain, profile = "anthropic.claude-3-5-haiku-20241022-v1:0", "us.anthropic.claude-3-5-haiku-20241022-v1:0"
    request = conversation(2, system=DOCUMENT * 4)
    one, other = await planned(plain, request, clock), await planned(profile, request, clock)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert one.places == other.places


async def test_context_of_a_knowledge_base_in_the_last_turn_leaves_the_prefix_whole(clock):
    prefix, proofs = plain_stage(), []
    for turn in range(5):
        clock.time += 10
        base = conversation(turn)
        question = Message("user", (Text(f"<context>passage {turn}</context> question {turn}"),))
        request = Request(protocol="anthropic", model="m", system=base.system, messages=(*base.messages[:-1], question))
        decision, _, _ = await served(prefix, request, clock)
        assert "chunks-before-history" not in [finding.rule for finding in decision.findings]
        proofs.append(segments(request, "m", words)[0].hash)
    assert len(set(proofs)) == 1
