"""A whole gateway over a backend that says what the test wants, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

from hapenny.backends.contract import Raw
from hapenny.config import load
from hapenny.core.answer import Replay
from hapenny.core.events import Choice, Completion, Tokens, events_of
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.tuning.experiments import Arm, Experiment, assign
from tests.settling import settled


class Shop:
    """Answers each request with what `says` makes of it: a text, or a failure to raise. `gate` holds every call. Like a
    provider it reads from its prompt cache what earlier requests wrote behind their cache points."""

    def __init__(self, says=lambda request, target: "It opens at nine."):
        self.says = says
        self.asked = []
        self.gate = None
        self.written = set()

    async def call(self, request, target, limits):
        self.asked.append((request, target))
        if self.gate is not None:
            await self.gate.wait()
        answer = self.says(request, target)
        if isinstance(answer, Exception):
            raise answer
        tokens = self.used(request, answer)
        choices = [Choice(content=[Text(answer)], reason="end_turn")]
        done = Completion(id="m", model=target.model, created=0.0, choices=choices, tokens=tokens)
        return Replay(events_of(done))

    def used(self, request, answer):
        """What it bills: four characters a token."""
        whole, read, points = "", 0, set()
        for message in request.messages:
            for block in message.content:
                whole += getattr(block, "text", "")
                if whole in self.written:
                    read = len(whole) // 4
                if block.checkpoint:
                    points.add(whole)
        self.written |= points
        return Tokens(input=max(1, len(whole) // 4 - read), output=max(1, len(answer) // 4), cache_read=read)

    @property
    def models(self):
        """Who was asked, in order."""
        return [target.model for _, target in self.asked]

    def notes(self, request, target):
        return []

    async def count(self, request, target):
        return None

    async def forward(self, method, path, headers, body, limits):
        return Raw(404, {}, Replay([]))

    async def aclose(self):
        pass


CONFIG = """
ledger: null
backends: {simulated: {kind: simulated}}
stages: {semantic: {embedder: hashed}}
routes: {default: {holdout: 0, unproven: open, audit_share: 0, knowledge_epoch: e3, prompt_version: p7}}
"""


class House:
    """A started gateway and its shop."""

    def __init__(self, shop, gateway):
        self.shop, self.gateway = shop, gateway

    async def ask(self, text="When does the bridge open?", *, user=None, tenant="default", **changes):
        """The whole answer, and its exchange; off the path everything has come to an end."""
        answer, there = await self.gateway.complete(asking(text, **changes), Context(tenant=tenant, user=user))
        if not self.gateway.config.collections:  # what follows their changes ends with the gateway
            await settled(self.gateway)
        return answer.text, there

    def reload(self, config=None):
        """Goes on with another configuration (None: the same, its files read again), as a server does at SIGHUP."""
        config = load(text=config) if config is not None else self.gateway.config
        self.gateway = Gateway(config, backends={"simulated": self.shop}, previous=self.gateway)


def asking(text="When does the bridge open?", **changes):
    """A request with one user turn at temperature 0."""
    return Request(
        **{
            "protocol": "openai",
            "model": "fast",
            "messages": (Message("user", (Text(text),)),),
            "parameters": Parameters(temperature=0.0),
            **changes,
        }
    )


@contextlib.asynccontextmanager
async def house(says=None, config=CONFIG, **rest):
    """A house that is closed at the end."""
    shop = Shop(says) if says is not None else Shop()
    gateway = Gateway(load(text=config), backends={"simulated": shop}, **rest)
    async with gateway:
        yield House(shop, gateway)


def experiments(path: Path, *arms, name="greeting", **changes):
    """Writes a running experiment of users, by arm name -> `Arm`, and returns its path for the configuration."""
    one = {"name": name, "unit": "user", "running": True, "arms": dict(arms), **changes}
    path.write_text(json.dumps([one]))
    return path


def user_of(arm, names=("a", "b"), name="greeting", tenant="default"):
    """A user whom the experiment puts into that arm."""
    experiment = Experiment(name=name, unit="user", arms={each: Arm() for each in names})
    return next(f"u{n}" for n in range(1_000) if assign(experiment, f"{tenant}\0u{n}") == arm)


async def until(condition, turns=500):
    """Lets other tasks run until `condition` holds."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to pass")
