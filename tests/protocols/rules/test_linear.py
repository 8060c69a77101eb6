"""Conversations of any shape are made fit in time that grows with their length and no faster."""

import gc
import json
import time

import pytest
from benchmarks.growing import LINEAR, TIMES

from hapenny.catalog import resolve
from hapenny.protocols import codec
from hapenny.protocols.rules import HOME, broken, fit
from tests.protocols.rules.sending import DIALECT, NOVA, SONNET

FEW = 400
TARGETS = [
    ("openai", "gpt-4.1"), ("openai", "mistral-large-latest"), ("anthropic", "claude-sonnet-4-5"), ("converse", SONNET),
    ("converse", NOVA), ("converse", "us.meta.llama3-1-70b-instruct-v1:0"), ("invoke", SONNET),
]  # fmt: skip
USER = {"role": "user", "content": "x"}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def calls(*ids):
    return {
        "role": "assistant",
        "tool_calls": [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ids],
    }


def result(id_, text="r"):
    return {"role": "tool", "tool_call_id": id_, "content": text}


def names(n, mark="c"):
    return [f"{mark}{i}" for i in range(n)]


SHAPES = {
    "results in order": lambda n: [USER, calls(*names(n)), *map(result, names(n))],
    "results in reverse": lambda n: [USER, calls(*names(n)), *map(result, reversed(names(n)))],
    "no results": lambda n: [USER, calls(*names(n)), USER],
    "no calls": lambda n: [USER, *map(result, names(n))],
    "one call a turn": lambda n: [USER, *map(calls, names(n)), *map(result, names(n))],
    "ids of others": lambda n: [USER, *[turn for one in names(n, "c|") for turn in (calls(one), result(one, " "))]],
    "one id": lambda n: [USER, *[turn for _ in range(n) for turn in (calls("c"), result("c"))]],
    "blanks": lambda n: [{"role": "user", "content": [{"type": "text", "text": " "}] * n}, USER],
    "instructions": lambda n: [USER, *[turn for _ in range(n) for turn in ({"role": "system", "content": "s"}, USER)]],
    "one role": lambda n: [USER] * n + [{"role": "assistant", "content": "a"}] * n + [USER],
}


def took(shape, n, service, model):
    body = json.dumps({"model": "m", "messages": shape(n), "tools": TOOLS}).encode()
    best = float("inf")
    gc.disable()  # it looks at all objects again and again while there are more and more
    for _ in range(3):
        request = codec("openai").decode_request(body, model=None, stream=None, headers={})
        began = time.thread_time()
        fitted = fit(request, service, model, resolve(model))
        wire = codec(DIALECT[service]).encode_request(fitted.request, model=model)
        for _ in broken(json.loads(wire.body), service, model, resolve(model)):
            pass
        best = min(best, time.thread_time() - began)
    gc.enable()
    return best


@pytest.mark.parametrize(("service", "model"), TARGETS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_growth(shape, service, model):
    assert HOME[DIALECT[service]] == service
    few, many = took(shape, FEW, service, model), took(shape, TIMES * FEW, service, model)
    assert many < max(few, 1e-4) * LINEAR
