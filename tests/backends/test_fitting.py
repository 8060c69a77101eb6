"""A plain request is fitted once; what only looks like one is still looked at."""

import msgspec

from hapenny.backends.fitting import Fitting
from hapenny.core.exchange import Target
from hapenny.core.messages import Message, Parameters, Request, Text
from hapenny.protocols.registry import codec

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


def ask(text="Hello", **fields):
    return Request(protocol="openai", model="m", messages=(Message("user", (Text(text),)),), **fields)


def test_a_request_that_needs_nothing_goes_as_it_is_and_the_next_one_too():
    fitting, wire, target = Fitting(), codec("bedrock"), Target(MODEL)
    for text in ("Hello", "Again"):
        request = ask(text, parameters=Parameters(max_tokens=9, seed=1))
        first = fitting.take(request, target, wire)
        assert "seed" in " ".join(fitting.notes(request, target, wire))
        assert first.request.messages == request.messages


def test_after_a_plain_one_a_blank_or_a_prefill_is_still_mended():
    fitting, wire, target = Fitting(), codec("bedrock"), Target(MODEL)
    plain = ask(parameters=Parameters(max_tokens=9))
    assert fitting.take(plain, target, wire).request is plain
    prefilled = msgspec.structs.replace(plain, messages=(*plain.messages, Message("assistant", (Text("Yes "),))))
    assert fitting.take(prefilled, target, wire).notes
    odd = msgspec.structs.replace(plain, parameters=Parameters(max_tokens=10**7))
    assert fitting.take(odd, target, wire).notes


def test_parameters_of_megabytes_are_not_kept():
    fitting, wire, target = Fitting(), codec("bedrock"), Target(MODEL)
    assert fitting.take(ask(parameters=Parameters(stop=("END",))), target, wire).plain
    assert not fitting.take(ask(parameters=Parameters(stop=("x" * 5_000,))), target, wire).plain
    assert not fitting.take(ask(parameters=Parameters(service_tier="x" * 5_000)), target, wire).plain
