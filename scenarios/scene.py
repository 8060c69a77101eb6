"""The stage of a scenario: a whole gateway in virtual time over a simulated provider, or one that says what it is told.

A scenario is a module with `SCENARIO` (its texts, and the configuration that takes away what it shows) and an async
`run(scene)` that asserts what a user or an operator would notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from hapenny.backends.contract import Raw
from hapenny.backends.simulated import SimulatedBackend
from hapenny.config import load
from hapenny.core.answer import Replay
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Choice, Completion, Tokens, events_of
from hapenny.core.exchange import Exchange
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.gateway.gateway import Gateway
from hapenny.simulation.cards import CURRENT_2026, MANGA_2024
from hapenny.simulation.provider import Limit, SimulatedProvider
from hapenny.telemetry.rows import Row

CARDS = {"manga-2024": MANGA_2024, "current-2026": CURRENT_2026}
NO_LIMIT = {"*": Limit()}
FAST, STRONG = (MANGA_2024.of_tier(tier).id for tier in ("fast", "strong"))  # type: ignore[union-attr]
"""Models behind these tiers."""


def modes(**stages: str) -> dict[str, Any]:
    """A configuration with these stages on, off or in shadow."""
    return {"routes": {"default": {"stages": stages}}}


NO_CACHE = modes(exact="off", flights="off")
"""Every question is asked of a model."""


def searched(folder: str) -> dict[str, Any]:
    """A configuration that answers from a collection."""
    collection = {"collections": {"shop": {"path": folder}}, "stages": {"retrieval": {"collection": "shop"}}}
    return modes(retrieval="on", exact="off") | collection


class Scenario(Struct, frozen=True, kw_only=True):
    """What a runbook says."""

    skill: str
    """Its number: 4.1.1 to 4.2.6."""
    title: str
    happens: str
    """What goes on, as the first person to notice would say it."""
    does: str
    """What hapenny does about it."""
    sees: str
    """Where the operator sees it."""
    act: str
    """What the operator does."""
    check: str = ""
    """The command that shows it; words in capitals are the operator's own."""
    proof: str = ""
    """How the operator knows that it is over."""
    real: bool = False
    """Played in real time, with sockets and processes, instead of virtual time."""
    without: Mapping[str, Any] | None = None
    """Merged into the configuration it takes away the feature: the scenario then fails."""
    naive: str = ""
    """Where the feature has no switch: what is done in its place in a `broken` scene, and the scenario fails."""


class Scripted:
    """A provider that answers each request with what `says` makes of it: a text, or a failure to raise."""

    def __init__(self, says: Callable[[Request, Any], str | Failure], clock: Clock, seconds: float) -> None:
        self.name = "simulated"
        self.says = says
        self.asked: list[tuple[Request, Any]] = []
        self._clock, self._seconds = clock, seconds

    async def call(self, request: Request, target: Any, limits: Any) -> Replay:
        """Takes its time, then answers whole."""
        self.asked.append((request, target))
        await self._clock.sleep(self._seconds)
        said = self.says(request, target)
        if isinstance(said, Failure):
            raise said
        size = sum(len(message.text) for message in request.messages) + sum(len(b.text) for b in request.system)  # type: ignore[union-attr]
        used = Tokens(input=max(1, size // 4), output=max(1, len(said) // 4))
        limit = request.parameters.max_tokens
        reason = "end_turn"
        if limit is not None and used.output > limit:
            said, reason, used = said[: 4 * limit], "max_tokens", Tokens(input=used.input, output=limit)
        choice = Choice(content=[Text(said)], reason=reason)  # type: ignore[arg-type]
        done = Completion(id=self._clock.new_id("m_"), model=target.model, created=0.0, choices=[choice], tokens=used)
        return Replay(events_of(done))

    def notes(self, request: Request, target: Any) -> list[str]:
        """Nothing is changed for it."""
        return []

    async def count(self, request: Request, target: Any) -> int | None:
        """It has no counting service."""
        return None

    async def forward(self, method: str, path: str, headers: Any, body: bytes, limits: Any, region: str = "") -> Raw:
        """It has no other endpoints."""
        return Raw(404, {}, Replay([]))

    async def aclose(self) -> None:
        """Nothing is held."""


class Scene:
    """One run. `broken`: with the feature taken away."""

    def __init__(self, clock: Clock, folder: Path, without: Mapping[str, Any] | None, *, broken: bool = False) -> None:
        self.clock, self.folder, self.broken = clock, folder, broken
        self.random = random.Random(7)
        self._without = without or {}
        self.provider: SimulatedProvider
        self.script: Scripted
        self.gateway: Gateway

    def without(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration of the scenario's own as it is played: where the scene is broken, without the feature."""
        return merged(config, self._without)

    @contextlib.asynccontextmanager
    async def open(self, config: Mapping[str, Any] | None = None, **how: Any) -> AsyncIterator[Gateway]:
        """A started gateway: `made` of the same arguments."""
        async with self.made(config, **how) as gateway:
            yield gateway

    def made(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        says: Callable[[Request, Any], str | Failure] | None = None,
        seconds: float = 0.4,
        card: str = "manga-2024",
        previous: Gateway | None = None,
        **provider: Any,
    ) -> Gateway:
        """A gateway of `config` (deeply merged over plain defaults), not started. `says`: a scripted provider, which
        takes `seconds`; else that of `previous`, which this one replaces; else a simulated one of a card, with
        `provider`'s faults, changes and quotas."""
        whole = merged(PLAIN, {"backends": {"simulated": {"kind": "simulated", "card": card}}})
        whole = merged(merged(whole, config or {}), self._without)
        if says is not None:
            self.script = Scripted(says, self.clock, seconds)
            backend: Any = self.script
        elif previous is not None:
            backend = previous.backends["simulated"]
        else:
            self.provider = SimulatedProvider(self.clock, CARDS[card], **{"quotas": NO_LIMIT, **provider})
            backend = SimulatedBackend("simulated", self.provider)
        names = whole["backends"]
        self.gateway = Gateway(
            load(text=json.dumps(whole)), clock=self.clock, backends=dict.fromkeys(names, backend), previous=previous
        )
        return self.gateway

    async def ask(self, text: str = "When do you open?", *, model: str = "strong", tenant: str = "default",
                  user: str | None = None, session: str | None = None, intent: str | None = None,
                  system: str = "", priority: int = 0, messages: Sequence[Message] | None = None, stream: bool = False,
                  **parameters: Any) -> tuple[str, Exchange]:  # fmt: skip
        """One request: the text of its answer, and its story. Raises `Failure`."""
        request = Request(
            protocol="openai", model=model, stream=stream,
            system=(Text(system),) if system else (),
            messages=tuple(messages) if messages else (Message("user", (Text(text),)),),
            parameters=Parameters(**{"temperature": 0.0, "max_tokens": 400, **parameters}),
        )  # fmt: skip
        context = Context(tenant=tenant, user=user, session=session, intent=intent, priority=priority)
        done, exchange = await self.gateway.complete(request, context)
        return done.text, exchange

    async def row(self, exchange: Exchange) -> Row:
        """The books of a request."""
        assert self.gateway.ledger is not None
        await self.gateway.settled()
        await self.gateway.ledger.flush()
        row = await self.gateway.ledger.get(exchange.id)
        assert row is not None
        return row

    async def indexed(self, rows: Sequence[Mapping[str, Any]], name: str = "shop", *options: str) -> str:
        """The folder of a collection of rows (`id`, `title`, `text` and facets), built by `hapenny index build`; built
        again it follows what the rows have become. For scenarios in real time."""
        source = self.folder / f"{name}.jsonl"
        source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        folder = str(self.folder / name)
        command = [
            sys.executable,
            "-m",
            "hapenny",
            "index",
            "build",
            folder,
            str(source),
            "--embedder",
            "hashed",
            *options,
        ]
        process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-2)
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        return folder

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels, as Prometheus would read it."""
        total = 0.0
        for family in self.gateway.recorder.metrics.collect():
            for sample in family.samples:
                if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items()):
                    total += sample.value
        return total


PLAIN: dict[str, Any] = {
    "ledger": {"path": ":memory:"},
    "stages": {"semantic": {"embedder": "hashed"}},
    "routes": {"default": {"holdout": 0, "unproven": "open", "audit_share": 0}},
}


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """`second` over `first`, mappings within mappings likewise."""
    out = dict(first)
    for key, value in second.items():
        mine = out.get(key)
        out[key] = merged(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return out


@contextlib.contextmanager
def stage_folder() -> Any:
    """A temporary folder."""
    with tempfile.TemporaryDirectory(prefix="scenario-") as name:
        yield Path(name)
