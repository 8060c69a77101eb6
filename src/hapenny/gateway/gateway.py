"""The gateway: a whole deployment as a library. A server drives the same over HTTP.

    async with Gateway(load("hapenny.yaml")) as gateway:
        print(await gateway.chat("What is a halfpenny bridge?"))

How its parts are made is in `assembly`; what happens to a request between `open` and `close` is in the stages, in the
order in which the pipeline of its route holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from hapenny.admission.keys import OPEN, Identity
from hapenny.backends.contract import Backend
from hapenny.config import Config, load
from hapenny.core.answer import Answer
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Completion
from hapenny.core.exchange import Exchange
from hapenny.core.guard import Guard
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.core.metering import deliver
from hapenny.core.money import Totals
from hapenny.gateway.assembly import Assembly, build, start
from hapenny.gateway.auditing import book_all
from hapenny.gateway.watching import guards, watch
from hapenny.prefetch.contract import Jobs
from hapenny.telemetry.ledger import Ledger

PAUSED = "saving stages are paused"
"""What answers say while they are."""


class Gateway:
    """A whole deployment, started with `async with`.

    Args:
        config: what to build; None is the default: simulated models.
        clock: real by default; a virtual one runs everything in simulated time.
        backends: by name, instead of those the configuration names.
        previous: a gateway whose ledger, estimators, answers and metrics go on (a reload).

    Raises:
        ConfigError: names, files or options do not fit.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        clock: Clock | None = None,
        backends: Mapping[str, Backend] | None = None,
        previous: Gateway | None = None,
    ) -> None:
        config = config if config is not None else load()
        parts = build(config, clock, backends, previous.parts if previous is not None else None)
        self.parts: Assembly = parts
        watch(parts)
        self.config, self.clock, self.catalog = parts.config, parts.clock, parts.catalog
        self.backends, self.keyring, self.names = parts.backends, parts.keyring, parts.resolver.names
        self.books, self.shared, self.recorder = parts.books, parts.shared, parts.shared.recorder
        self.planner, self.admin, self._exchanges = parts.planner, parts.admin, parts.exchanges
        self.gate, self.registry = parts.gate, parts.shared.registry
        self._pipelines = {False: parts.pipelines, True: parts.plain}
        self._started = False
        self.simulated = frozenset(name for name in parts.backends if _is_simulated(config, name))
        """Backends whose answers no provider gave."""

    @classmethod
    def from_file(cls, path: str, **rest: Any) -> Gateway:
        """A gateway of the YAML at `path`. Raises `ConfigError`."""
        return cls(load(path), **rest)

    @property
    def ledger(self) -> Ledger | None:
        """Where the books are kept."""
        return self.recorder.ledger

    # -- a request -----------------------------------------------------------------------------------------------

    async def complete(self, request: Request, context: Context | None = None) -> tuple[Completion, Exchange]:
        """Asks and waits for the whole answer: the life of a request on one screen.

        Raises:
            Failure: in words every protocol can map.
        """
        exchange = self.open(request, context if context is not None else Context())
        # The exchange knows its route, its limits, what its model's name means, and what it would cost without us.
        try:
            answer = await self.answer(exchange)
            # Stage by stage it was decided whether a store has the answer, which model is asked what, and when; then
            # `call` asked the provider. The answer has begun: nothing is retried any more. Whoever reads it drives it:
            # events pass through what the stages attached, caches are filled, tokens and times are noted.
            return await answer.collect(), exchange
        finally:
            self.close(exchange)
            # Once its last call is settled the books make its row: ledger, metrics, what each cache earned, audits.

    def open(
        self,
        request: Request,
        context: Context,
        identity: Identity = OPEN,
        *,
        id: str = "",
        background: str = "",
        route: str = "",
    ) -> Exchange:
        """The exchange of a request: route (where it is not known already), names, limits, baseline.

        Raises:
            Failure: `not_found` for an unknown model, `permission` for one the key may not ask for.
        """
        return self._exchanges.open(request, context, identity, id=id, background=background, route=route)

    async def admit(self, exchange: Exchange) -> None:
        """Holds a client's request against the limits a minute and the budgets of its key and tenant.

        Raises:
            Failure: `rate_limited` with the time to wait, or `budget`.
        """
        gate = self.gate
        if not (gate.keyed or gate.registry.limits):
            return
        try:
            await gate.admit(exchange, lambda: self._size(exchange))
        except Failure as failure:
            exchange.failure = failure
            raise

    def _size(self, exchange: Exchange) -> int:
        """Tokens that a request may be expected to use."""
        prices, request = self.books.prices, exchange.request
        return prices.prompt(request, exchange.target) + prices.place(exchange.target).longest(request)

    async def answer(self, exchange: Exchange) -> Answer:
        """Runs the exchange through the stages of its route, down to `call`; returns when the answer has begun. The
        caller must read the answer to the end or close it, and then call `close`.

        Raises:
            Failure: in words every protocol can map.
        """
        pipelines = self._pipelines[exchange.holdout]
        if self.registry.pause.paused:
            pipelines = self.parts.paused
            exchange.note(PAUSED)
        try:
            answer = await pipelines[exchange.route](exchange)
        except Failure as failure:
            exchange.failure = failure
            exchange.finished = self.clock.now()
            raise
        return deliver(answer, exchange)

    async def call(self, exchange: Exchange) -> Answer:
        """The end of every pipeline: one paid attempt at the exchange's target."""
        return await self.parts.calls.call(exchange)

    def close(self, exchange: Exchange) -> None:
        """Ends the client's part. The row is written when the last call is settled."""
        self._exchanges.close(exchange)

    def failing(self) -> list[str]:
        """Background tasks that failed of late, and were begun again."""
        return sorted({guard.name for guard in guards(self.parts) if guard.failing})

    def watch_over(self, guard: Guard) -> None:
        """Shows another background task, of a service of this gateway; over a reload, too."""
        kept = self.shared.guards
        kept[:] = [each for each in kept if each.name != guard.name] + [guard]

    @property
    def only_simulated(self) -> bool:
        """Whether no provider is configured at all."""
        return bool(self.simulated) and len(self.simulated) == len(self.backends)

    def plays(self, exchange: Exchange) -> bool:
        """Whether the answer of an exchange comes from a simulated model."""
        call = exchange.adopted
        return (exchange.target if call is None else call.target).backend in self.simulated

    def totals(self, exchange: Exchange) -> Totals | None:
        """The money of an exchange whose calls are all settled; None while a call is still open."""
        for call in exchange.calls:
            if call.outcome == "open":
                return None
        return self.books.totals(exchange)

    async def chat(self, text: str, model: str = "auto", **parameters: Any) -> str:
        """Asks one question; for a first try."""
        messages = (Message("user", (Text(text),)),)
        request = Request(protocol="openai", model=model, messages=messages, parameters=Parameters(**parameters))
        return (await self.complete(request))[0].text

    # -- lifetime ------------------------------------------------------------------------------------------------

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

    async def aclose(self, successor: Gateway | None = None) -> None:
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

    async def __aenter__(self) -> Gateway:
        await self.start()
        self.start_prefetch()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _is_simulated(config: Config, name: str) -> bool:
    options = config.backends.get(name)
    return options is not None and options.kind == "simulated"
