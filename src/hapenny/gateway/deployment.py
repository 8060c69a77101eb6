"""A deployment: what a configuration builds, and how long it lasts."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from hapenny.backends.contract import Backend
from hapenny.config import Config, load
from hapenny.core.clock import Clock
from hapenny.core.guard import Guard
from hapenny.gateway.assembly import Assembly, build, start
from hapenny.gateway.auditing import book_all
from hapenny.gateway.watching import guards, watch
from hapenny.prefetch.contract import Jobs
from hapenny.stores.counters import Counters
from hapenny.telemetry.ledger import Ledger


class Deployment:
    """Everything a gateway is made of, started with `async with`.

    Args:
        config: what to build; None is the default: simulated models.
        clock: real by default; a virtual one runs everything in simulated time.
        backends: by name, instead of those the configuration names.
        counters: the store of quotas, instead of the one the configuration names.
        previous: a deployment whose ledger, estimators, answers and metrics go on (a reload).

    Raises:
        ConfigError: names, files or options do not fit.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        clock: Clock | None = None,
        backends: Mapping[str, Backend] | None = None,
        counters: Counters | None = None,
        previous: Deployment | None = None,
    ) -> None:
        config = config if config is not None else load()
        parts = build(config, clock, backends, previous.parts if previous is not None else None, counters)
        self.parts: Assembly = parts
        watch(parts)
        self.config, self.clock, self.catalog = parts.config, parts.clock, parts.catalog
        self.backends, self.keyring, self.names = parts.backends, parts.keyring, parts.resolver.names
        self.books, self.shared, self.recorder = parts.books, parts.shared, parts.shared.recorder
        self.planner, self.admin, self._exchanges = parts.planner, parts.admin, parts.exchanges
        self.gate, self.registry = parts.gate, parts.shared.registry
        self._pipelines = {False: parts.pipelines, True: parts.plain}
        self._started = False
        self.simulated = frozenset(config.simulated) & parts.backends.keys()
        """Backends whose answers no provider gave."""
        self.only_simulated = bool(self.simulated) and len(self.simulated) == len(self.backends)
        """Whether no provider is configured at all."""

    @classmethod
    def from_file(cls, path: str, **rest: Any) -> Self:
        """A gateway of the YAML at `path`. Raises `ConfigError`."""
        return cls(load(path), **rest)

    @property
    def ledger(self) -> Ledger | None:
        """Where the books are kept."""
        return self.recorder.ledger

    def failing(self) -> list[str]:
        """Background tasks that failed of late, and were begun again."""
        return sorted({guard.name for guard in guards(self.parts) if guard.failing})

    def watch_over(self, guard: Guard) -> None:
        """Shows another background task, of a service of this gateway; over a reload, too."""
        kept = self.shared.guards
        kept[:] = [each for each in kept if each.name != guard.name] + [guard]

    async def start(self) -> None:
        """Opens what needs a running loop, and begins what goes on beside requests; once."""
        if not self._started:
            self._started = True
            await start(self.parts)

    def start_prefetch(self, jobs: Jobs | None = None) -> None:
        """Begins to answer ahead where that is configured; `jobs`: the providers' batch APIs, where there are any."""
        planner = self.planner
        if planner is not None:
            self.parts.tasks.serve("answering ahead", self.clock, lambda: planner.run(jobs))

    def stop_prefetch(self) -> None:
        """Ends answering ahead after the round under way: a successor goes on."""
        if self.planner is not None:
            self.planner.stop()

    async def settled(self) -> None:
        """Waits until no background work is under way."""
        await self.parts.tasks.settled()
        await self.recorder.tasks.settled()

    async def aclose(self, successor: Deployment | None = None) -> None:
        """Ends background work and lets go of all that no successor (a reload's gateway) goes on with."""
        await self.parts.calls.finish()
        await self.parts.tasks.aclose()
        if successor is None:
            book_all(self.recorder, self.clock, self.parts.budgets)
        for backend in self.backends.values():
            await backend.aclose()
        for reranker in self.parts.rerankers.values():
            await reranker.aclose()
        for guard in self.parts.guards.values():
            await guard.aclose()
        await self.shared.aclose(successor.shared if successor is not None else None)

    async def __aenter__(self) -> Self:
        await self.start()
        self.start_prefetch()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
