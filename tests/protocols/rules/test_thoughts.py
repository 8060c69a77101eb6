"""Reasoning in a conversation that goes on with another model, or with the same one, on Bedrock."""

from __future__ import annotations

import json

import pytest

from hapenny.catalog import resolve
from hapenny.core.messages import Parameters, Text, Thinking
from hapenny.protocols import codec
from hapenny.protocols.rules import broken
from tests.protocols.rules.sending import NOVA, OPUS, SONNET, said, sent, user

GPT_OSS = "openai.gpt-oss-120b-1:0"
KIMI = "moonshot.kimi-k2-thinking"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"


def replayed(model, thought, protocol="bedrock", service="converse"):
    """The assistant's turn of a conversation whose former answer began with `thought`, and the notes."""
    body, notes = sent(service, model, protocol, messages=(user("q"), said(thought, "a"), user("and?")))
    assert list(broken(body, service, model, resolve(model))) == []
    return body["messages"][1]["content"], notes


@pytest.mark.parametrize("model", [KIMI, LLAMA, GPT_OSS, NOVA, "us.deepseek.r1-v1:0"])
def test_what_claude_signed_does_not_go_to_another_model(model):
    content, notes = replayed(model, Thinking("hm", "c2ln"))
    assert content == [{"text": "a"}]
    assert "reasoning=1" in notes


def test_claude_gets_its_own_back():
    content, _ = replayed(SONNET, Thinking("hm", "c2ln"))
    assert content[0] == {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}}


@pytest.mark.parametrize("signature", [None, ""])
def test_reasoning_that_nobody_signs_goes_back_without_a_signature(signature):
    content, notes = replayed(GPT_OSS, Thinking("hm", signature))
    assert content[0] == {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    assert notes == ""


def test_a_model_that_takes_no_reasoning_gets_none_of_its_own():
    content, _ = replayed(KIMI, Thinking("hm"))
    assert content == [{"text": "a"}]


@pytest.mark.parametrize(("service", "protocol"), [("converse", "bedrock"), ("invoke", "anthropic")])
def test_a_turn_of_reasoning_alone_is_no_turn_to_continue(service, protocol):
    hidden = said(Thinking(redacted="ZW5j"))
    body, notes = sent(service, OPUS, protocol, messages=(user("q"), hidden, user("and?")))
    assert list(broken(body, service, OPUS, resolve(OPUS))) == []
    assert len(body["messages"][1]["content"]) == 2
    assert "reasoning=1 turns" in notes


def test_where_turns_are_continued_it_stays_as_it_is():
    body, notes = sent("converse", SONNET, "bedrock", messages=(user("q"), said(Thinking(redacted="e")), user("and?")))
    assert len(body["messages"][1]["content"]) == 1
    assert notes == ""


@pytest.mark.parametrize(
    ("protocol", "turn"),
    [
        ("bedrock", [{"reasoningContent": {"reasoningText": {"text": None, "signature": "c2ln"}}}, {"text": "a"}]),
        ("bedrock", [{"reasoningContent": {"reasoningText": {"signature": "c2ln"}}}, {"text": "a"}]),
        ("anthropic", [{"type": "thinking", "thinking": None, "signature": "c2ln"}, {"type": "text", "text": "a"}]),
    ],
)
def test_reasoning_that_was_not_shown_comes_back_without_a_text(protocol, turn):
    text = [{"text": "q"}] if protocol == "bedrock" else "q"
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": turn}]
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": turns}).encode()
    request = codec(protocol).decode_request(body, model="m", stream=False, headers={})
    thought = request.messages[1].content[0]
    assert (thought.text, thought.signature) == ("", "c2ln")


@pytest.mark.parametrize(
    ("model", "field"), [("openai.gpt-5.5", {"reasoning": {"effort": "high"}}), (GPT_OSS, {"reasoning_effort": "high"})]
)
def test_an_effort_is_said_in_the_words_of_the_model(model, field):
    body, _ = sent("converse", model, parameters=Parameters(effort="high"), messages=(user("q"),))
    assert body["additionalModelRequestFields"] == field


def test_text_beside_it_is_untouched():
    body, _ = sent("converse", KIMI, "bedrock", messages=(user("q"), said(Text("a")), user("and?")))
    assert [turn["content"] for turn in body["messages"]] == [[{"text": "q"}], [{"text": "a"}], [{"text": "and?"}]]
