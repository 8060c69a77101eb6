"""A small house for contract tests: exchanges, a scripted terminal, and an ask that counts."""

import numpy as np

from hapenny.core.answer import Replay, begin
from hapenny.core.clock import RealClock
from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage
from hapenny.core.exchange import Exchange, Limits, Target
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.core.metering import Metered

STRONG = Target("strong-model", "far")
FAST = Target("fast-model", "far")


def request(text="hello", **changes):
    parts = {
        "protocol": "openai",
        "model": "auto",
        "messages": (Message("user", (Text(text),)),),
        "parameters": Parameters(temperature=0.0),
    }
    return Request(**{**parts, **changes})


def exchange(text="hello", clock=None, tenant="a", context=None, max_calls=4, **changes):
    clock = clock or RealClock(1)
    now = clock.now()
    return Exchange(
        id="req_1",
        request=request(text, **changes),
        context=context or Context(tenant=tenant),
        clock=clock,
        limits=Limits(now + 30, now + 600),
        baseline=STRONG,
        max_calls=max_calls,
    )


def events(text="answer"):
    return [
        Started("id", "strong-model"),
        TextDelta(text),
        Stopped("end_turn"),
        Usage(Tokens(input=10, output=5)),
    ]


class Terminal:
    """The end of a pipeline: answers with `text`, or runs a script of failures first."""

    def __init__(self, text="answer", failures=(), delay=0.0):
        self.text = text
        self.failures = list(failures)
        self.delay = delay
        self.seen = []

    async def __call__(self, there):
        call = there.begin_call(there.target, there.purpose, there.payer)
        self.seen.append((there.request, there.target))
        try:
            if self.delay:
                await there.clock.sleep(self.delay)
            if self.failures:
                raise self.failures.pop(0)
            answer = await begin(Replay(events(self.text)))
        except Exception as failure:
            there.end_call(call, "failed", failure)
            raise
        except BaseException:
            there.end_call(call, "abandoned")
            raise
        call.began = there.clock.now()
        there.adopted = call
        return answer.through(Metered(call, there))


class Asks:
    async def embed(self, exchange, texts, *, technique, model=None):
        return np.ones((len(texts), 4), dtype=np.float32) / 2

    async def model(self, *args, **kwargs):
        raise AssertionError("no stage may call a model while it decides")

    rerank = model
