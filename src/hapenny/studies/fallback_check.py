"""A dry run of every fallback: does another model answer when this one cannot? No provider is asked.

The gateway of a configuration is built with scripted providers and runs in virtual time. For each name that has
fallbacks, on each route, the model behind it fails in each of the ways that providers do, and its stand-ins answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Struct

from hapenny.backends.contract import Backend, Raw
from hapenny.config import Config
from hapenny.core.answer import Replay, Source
from hapenny.core.errors import Failure, account_refused
from hapenny.core.events import Choice, Completion, Event, Started, Stopped, Tokens, Usage, events_of
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Context, Message, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.simulation import loop
from hapenny.simulation.loop import VirtualClock
from hapenny.studies.detached import detached

Way: TypeAlias = Failure | Sequence[Event]

WAYS: Mapping[str, Way] = {
    "throttle": Failure("rate_limited", "Too many requests", upstream_status=429),
    "outage": Failure("overloaded", "Service unavailable", upstream_status=503),
    "account": account_refused("add credit", "insufficient_quota", upstream_status=429),
    "context overflow": Failure("context_overflow", "prompt is too long", upstream_status=400),
    "content filter": (Started("dry"), Stopped("content_filtered"), Usage(Tokens(input=1))),
}
"""What a provider does instead of an answer."""


class Tried(Struct, frozen=True, kw_only=True):
    """What came of one try."""

    name: str
    """As the client asks for it."""
    route: str
    way: str
    answered: str
    """The model that answered; "" where none did."""
    why: str = ""
    """The failure, where none did."""


def check_fallbacks(config: Config) -> list[Tried]:
    """Tries every fallback of a configuration in every way.

    Raises:
        ConfigError: names, files or options do not fit.
    """
    if not config.fallbacks:
        return []
    quiet = msgspec.structs.replace(
        detached(config), routes={name: _plain(route) for name, route in config.routes.items()}
    )
    return [
        tried
        for name in config.fallbacks
        for route in config.routes
        for way, how in WAYS.items()
        for tried in [loop.run(_one(quiet, name, route, way, how))]
    ]


def _plain(route: object) -> object:
    """A route without what needs collections, vectors or other models: the failing call is what is looked at."""
    stages = {"semantic": "off", "retrieval": "off", "templates": "off", "exact": "off", "arms": "off"}
    return msgspec.structs.replace(route, stages={**route.stages, **stages}, holdout=0.0, audit_share=0.0)  # type: ignore


def _one(config: Config, name: str, route: str, way: str, how: Way):  # type: ignore[no-untyped-def]
    async def main(clock: VirtualClock) -> Tried:
        script = _Script(how)
        backends: dict[str, Backend] = dict.fromkeys(config.backends, script)
        async with Gateway(config, clock=clock, backends=backends) as gateway:
            named = gateway.names.resolve(name)
            script.failing = (named.target or gateway.parts.resolver.baselines[route]).model
            request = Request(protocol="openai", model=name, messages=(Message("user", (Text("Are you there?"),)),))
            exchange = gateway.open(request, Context(), route=route)
            try:
                if named.kind == "auto":
                    script.failing = ""
                    script.first = True
                answer = await gateway.answer(exchange)
                done = await answer.collect()
                answered = exchange.target.model if done.text else ""
                return Tried(name=name, route=route, way=way, answered=answered, why="" if answered else "no answer")
            except Failure as failure:
                return Tried(name=name, route=route, way=way, answered="", why=failure.message)
            finally:
                gateway.close(exchange)

    return main


class _Script:
    """Fails as `how` says for one model (the first that is asked, where none is named); the others answer."""

    name = "dry"

    def __init__(self, how: Way) -> None:
        self._how = how
        self.failing = ""
        self.first = False

    async def call(self, request: Request, target: Target, limits: Limits) -> Source:
        """Plays its part."""
        if self.first:
            self.failing, self.first = target.model, False
        if target.model == self.failing:
            if isinstance(self._how, Failure):
                raise self._how
            return Replay(self._how)
        choices = [Choice(content=[Text("yes")], reason="end_turn")]
        done = Completion(id="dry", model=target.model, created=0.0, choices=choices, tokens=Tokens(input=1, output=1))
        return Replay(events_of(done))

    def notes(self, request: Request, target: Target) -> list[str]:
        """Changes nothing."""
        return []

    async def count(self, request: Request, target: Target) -> int | None:
        """Counts nothing."""
        return None

    async def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, limits: Limits, region: str = ""
    ) -> Raw:
        """Passes nothing on."""
        return Raw(404, {}, Replay([]))  # type: ignore[arg-type]

    async def aclose(self) -> None:
        """Holds nothing."""
