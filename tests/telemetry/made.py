"""Exchanges made by hand: what a gateway would have done, without one."""

from __future__ import annotations

import msgspec

from hapenny.catalog import Card, Catalog, Rates
from hapenny.core.clock import RealClock
from hapenny.core.events import Tokens
from hapenny.core.exchange import Exchange, Limits, Target
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.counting import Estimators
from hapenny.telemetry.books import Books

DEAR = Rates(input=3_000_000, output=15_000_000, cache_read=300_000, cache_write=3_750_000, cache_write_1h=6_000_000)
CHEAP = Rates(input=250_000, output=1_250_000, cache_read=25_000, cache_write=312_500)


def catalog() -> Catalog:
    """Two models with a prompt cache from 10 tokens on, one that caches by itself, one without a price."""
    common = {"cache_mode": "explicit", "cache_min": 10, "provider": "bedrock"}
    return Catalog(
        [
            Card(id="dear", prices={"in_region": {"standard": DEAR, "batch": half(DEAR)}}, **common),
            Card(id="cheap", prices={"in_region": {"standard": CHEAP}}, **common),
            Card(id="auto", provider="openai", cache_mode="automatic", cache_min=128,
                 prices={"in_region": {"standard": Rates(input=2_500_000, output=10_000_000, cache_read=1_250_000)}}),
            Card(id="free-of-price", provider="bedrock"),
            Card(id="kin-dear", tokenizer="kin", prices={"in_region": {"standard": DEAR}}, **common),
            Card(id="kin-cheap", tokenizer="kin", prices={"in_region": {"standard": CHEAP}}, **common),
        ]
    )  # fmt: skip


def half(rates: Rates) -> Rates:
    """Batch prices."""
    return msgspec.structs.replace(rates, input=rates.input // 2, output=rates.output // 2)


class Clock(RealClock):
    """A clock that a test moves."""

    def __init__(self):
        super().__init__(seed=1)
        self.t = 1_000.0

    def now(self):
        return self.t

    def wall(self):
        return 1_800_000_000.0 + self.t


def books(clock=None, **more):
    """Books over that catalog."""
    return Books(catalog(), Estimators(), clock or Clock(), key=b"k" * 32, **more)


def ask(text="How many pages has volume three?", model="dear", system=None, history=(), **more):
    """A request."""
    messages = [Message(role, (Text(said),)) for role, said in history]
    return Request(
        protocol="bedrock", model=model, messages=(*messages, Message("user", (Text(text),))),
        system=(system,) if system else (), parameters=Parameters(max_tokens=100), **more,
    )  # fmt: skip


_numbers = iter(range(10**9))


def exchange(clock, request=None, *, baseline="dear", tenant="t1", **more):
    """A request on its way."""
    request = request or ask()
    baseline = Target(baseline) if isinstance(baseline, str) else baseline
    return Exchange(
        id=f"req{next(_numbers)}", request=request,
        context=Context(tenant=tenant, **{k: more.pop(k) for k in ("feature", "user", "session") if k in more}),
        clock=clock, limits=Limits(clock.now() + 10, clock.now() + 60), baseline=baseline, **more,
    )  # fmt: skip


def call(book, ex, *, input=None, output=None, purpose="serve", technique="serve", text="", outcome="complete",
         failure=None, target=None, request=None, read=0, write=0):  # fmt: skip
    """A call that ended; without `input` it reported no usage."""
    made = ex.begin_call(target or ex.target, purpose, technique, request)
    if text:
        made.began = ex.clock.now()
        made.output.append(text)
    if input is not None:
        made.tokens = Tokens(input=input, output=output or 0, cache_read=read, cache_write=write)
    ex.end_call(made, outcome, failure)
    book.settle(made)
    return made


def deliver(ex, text="There are two hundred pages in it.", stopped="end_turn"):
    """The answer reached the client."""
    ex.output, ex.stopped, ex.delivered = text, stopped, True
    ex.first_out = ex.arrived + 0.4
    ex.finished = ex.arrived + 0.9


def served(book, ex, text="There are two hundred pages in it.", **more):
    """One reported call that delivered: its usage is what the estimator would say, plus what `more` says."""
    target = more.get("target") or ex.target
    prompt = book.prices.prompt(more.get("request") or ex.request, target)
    output = book.prices.output(text, target)
    made = call(book, ex, **{"input": prompt, "output": output, "text": text, **more})
    ex.adopted = made
    deliver(ex, text)
    return made
