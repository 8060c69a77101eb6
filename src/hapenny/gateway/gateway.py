"""The gateway: builds the pipeline from configuration, and hands stages `ask`, a tagged way to call a model.

A server drives it over HTTP; `from hapenny import Gateway` is the same thing as a library.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any

from hapenny.admission.keys import OPEN, Identity, Keyring, key_id
from hapenny.backends.build import build
from hapenny.backends.contract import Backend
from hapenny.catalog import Catalog, overrides
from hapenny.catalog import default as default_catalog
from hapenny.config import LOSSY, Config, RouteOptions, answer_version, load
from hapenny.core.answer import Answer, begin
from hapenny.core.clock import Clock, RealClock
from hapenny.core.errors import Failure, Unavailable
from hapenny.core.events import Completion
from hapenny.core.exchange import Asked, Exchange, Limits, Policy, Target
from hapenny.core.messages import Context, Message, Parameters, Request, Text
from hapenny.core.metering import Delivered, Metered
from hapenny.core.money import Totals
from hapenny.core.stage import Pipeline
from hapenny.core.timeout import within
from hapenny.counting.registry import Estimators
from hapenny.evidence.answers import judge
from hapenny.evidence.audits import AuditOptions
from hapenny.evidence.live_audit import Judging, Watch
from hapenny.evidence.step_back import Switch
from hapenny.gateway.background_calls import Background
from hapenny.gateway.model_services import Asking, paid_embedder
from hapenny.gateway.prefetching import Foreseeing
from hapenny.gateway.resolver import Choosing
from hapenny.gateway.shared_state import Deck
from hapenny.gateway.state_snapshot import memory, settings
from hapenny.intents.classifier import read_intents
from hapenny.routing.audit_view import Probing
from hapenny.stores.learnt import Learnt
from hapenny.telemetry.books import Books
from hapenny.telemetry.count_audit import CountChecks
from hapenny.telemetry.ledger import Ledger
from hapenny.telemetry.live import Waited
from hapenny.telemetry.recorder import Desk

_PASSED = RouteOptions(begin_s=600.0)
"""The limits of requests that are passed on as they are."""


class Gateway:
    """A whole deployment, started with `async with`.

    Args:
        config: what to build; None is the default: simulated models.
        clock: real by default; a virtual one runs everything in simulated time.
        backends: by name, instead of those the configuration names.
        heir: a gateway whose ledger, estimators, answers and metrics go on (a reload).
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        clock: Clock | None = None,
        backends: Mapping[str, Backend] | None = None,
        heir: Gateway | None = None,
    ) -> None:
        self.config = config = config if config is not None else load()
        self.clock: Clock = clock if clock is not None else (heir.clock if heir else RealClock())
        self.catalog: Catalog = default_catalog()
        self._intents = read_intents(config.intents)
        if config.prices:
            self.catalog = overrides.load(config.prices, self.catalog)
        self.backends: dict[str, Backend] = dict(
            backends
            if backends is not None
            else {
                name: build(name, options, self.clock, self.catalog.resolve)
                for name, options in config.backends.items()
            }
        )
        self._tasks: set[asyncio.Task[Any]] = set()
        self.keyring = Keyring(
            {
                key.key: Identity(
                    tenant=key.tenant,
                    key_id=key_id(key.key),
                    routes=tuple(key.routes),
                    default_route=key.default_route,
                    groups=tuple(key.groups),
                    models=tuple(key.models),
                )
                for key in config.keys
            },
            {key.sigv4_access_key: key.key for key in config.keys if key.sigv4_access_key},
        )
        if heir is None:
            secret = config.fingerprint_key.encode() or self.clock.secret()
            self._secret = hashlib.blake2b(secret, digest_size=32).digest()
            self.estimators = Estimators.best() if config.counting.vocabulary else Estimators()
            self.desk = Desk(self.clock, config.ledger, config.content, config.traces, self.spawn)
        else:
            self._secret, self.estimators = heir._secret, heir.estimators
            self.desk = heir.desk
        self._choosing = Choosing(config, self.catalog, self._secret)
        self.names = self._choosing.names
        lossy = [spec.name for spec in LOSSY]
        self.switch: Switch = heir.switch if heir is not None else Switch(lossy)
        self.switch.under(settings(config))
        self.books = Books(self.catalog, self.estimators, self.clock, key=self._secret)
        self.desk.watch(self.books)
        background, self.foreseeing = Background(self), Foreseeing(self)
        self.desk.check(CountChecks(self.books.prices, self.backends, self.spawn, self.clock, config.counting))
        self.deck: Deck = Deck(
            config,
            self.clock,
            self.catalog,
            self.books.prices,
            self.names,
            self._secret,
            self._choosing.defaults,
            refresh=background.refresh,
            spawn=self.spawn,
            same=background.same,
            answering=self.foreseeing,
            heir=heir.deck if heir is not None else None,
        )
        self.desk.metrics.gauge(
            "hapenny_cache_layers_stopped", "Layers that cost more than they save.", lambda: self.deck.returns.halted
        )
        self._learnt: Learnt | None = heir._learnt if heir is not None else memory(self)
        self._versions = {name: answer_version(config, name) for name in config.routes}
        paid = paid_embedder(config, self.catalog, self.backends, self.clock)
        ask = self.ask = Asking(self.call, lambda: self.deck.asked, self.deck.rerankers, paid)
        self._pipelines: dict[tuple[str, bool], Pipeline] = {}
        for name, route in config.routes.items():
            stages = self.deck.stages(route)
            stepped_back = partial(self.switch.off, name)
            self._pipelines[name, False] = Pipeline(stages, route.modes(), self.call, ask, stepped_back)
            self._pipelines[name, True] = Pipeline(stages, {}, self.call, ask)
        self.watch = self._watch(background)
        self._background = background

    @classmethod
    def from_file(cls, path: str, **rest: Any) -> Gateway:
        """A gateway of the YAML at `path`. Raises `ConfigError`."""
        return cls(load(path), **rest)

    @property
    def ledger(self) -> Ledger | None:
        """Where the books are kept."""
        return self.desk.ledger

    def _watch(self, background: Background) -> Watch:
        routes = self.config.routes
        return Watch(
            {
                name: AuditOptions(share=route.audits(), dollars_a_day=route.audit_budget_usd)
                for name, route in routes.items()
                if route.max_quality_loss < 1
            },
            {name: max(1e-4, route.max_quality_loss) for name, route in routes.items()},
            self.switch,
            self.clock,
            ask=background.audit,
            judge={name: self._judge(route, background) for name, route in routes.items()},
            spawn=self.spawn,
            router=Probing(self.deck.router, self.names.tiers, self.clock.wall),
            reading=[name for name, route in routes.items() if route.audit_judge],
        )

    def _judge(self, route: RouteOptions, background: Background) -> Judging:
        target = self.names.resolve(route.audit_judge).target if route.audit_judge else None
        if target is not None:
            return background.judging(target)
        return judge(self.deck.embedder.embed, route.audit_alike, route.audit_apart)

    # -- a request -----------------------------------------------------------------------------------------------

    def open(
        self, request: Request, context: Context, identity: Identity = OPEN, *, id: str = "", background: str = "",
        route: str = "",
    ) -> Exchange:  # fmt: skip
        """The exchange of a request: route (where it is not known already), names, limits, baseline.

        Raises:
            Failure: `not_found` for an unknown model, `permission` for one the key may not ask for.
        """
        asked = self.names.resolve(request.model)
        if not identity.may_ask(request.model):
            raise Failure("permission", f"this key may not ask for the model {request.model!r}", field="model")
        if asked.kind == "model" and asked.target is None:
            raise Failure(
                "not_found",
                f"the model {request.model!r} is not known here",
                field="model",
                fix=f"one of {', '.join(self.names.names())}, or a provider's model id",
            )
        name = route or self._choosing.route(request, context, identity)
        options = self.config.routes[name]
        concrete = asked.target if asked.kind == "model" else None
        exchange = Exchange(
            id=id or self.clock.new_id("req_"),
            request=request,
            context=context,
            clock=self.clock,
            limits=self._limits(options),
            baseline=concrete if concrete is not None else self._choosing.baselines[name],
            route=name,
            max_calls=options.max_calls,
            asked=asked,
            policy=Policy(asked.policy, self._versions[name], options.prompt_version, options.knowledge_epoch),
            background=background,
        )
        if self._intents is not None and context.intent is None and request.question:
            exchange.intent = self._intents.classify(request.question)[0]
        exchange.holdout = self._choosing.held_out(exchange)
        self._kept(exchange)
        if asked.kind == "tier" and asked.target is not None:
            exchange.target = asked.target
            exchange.step("tiers")
        return exchange

    def again(self, exchange: Exchange, background: str) -> Exchange:
        """A fresh exchange of the same request, in the background."""
        fresh = self.open(exchange.original, exchange.context, background=background, route=exchange.route)
        fresh.intent = exchange.intent
        return fresh

    def bare(
        self, request: Request, context: Context, target: Target, route: str = "", background: str = ""
    ) -> Exchange:
        """The exchange of one call that nothing is decided about: an audit on its route, or a request we do not
        understand, which is metered, and unpriced where its usage is unknown."""
        exchange = Exchange(
            id=self.clock.new_id("req_"),
            request=request,
            context=context,
            clock=self.clock,
            limits=self._limits(self.config.routes[route] if route else _PASSED),
            baseline=target,
            route=route or "default",
            max_calls=1,
            background=background,
        )
        return self._kept(exchange)

    async def plain(self, exchange: Exchange) -> Answer:
        """Runs the exchange with every stage off."""
        return await self._pipelines[exchange.route, True](exchange)

    def _limits(self, route: RouteOptions) -> Limits:
        now = self.clock.now()
        return Limits(now + route.begin_s, now + route.finish_s, route.idle_s)

    def _kept(self, exchange: Exchange) -> Exchange:
        """The exchange, its calls and its row in the books."""
        exchange.on_call(self.books.settle)
        exchange.on_end(lambda: self._written(exchange))
        return exchange

    async def answer(self, exchange: Exchange) -> Answer:
        """Runs the exchange through its pipeline; returns when the answer has begun. Whoever gets it reads it to the
        end or closes it, and then calls `close`.

        Raises:
            Failure: in words every protocol can map.
        """
        try:
            answer = await self._pipelines[exchange.route, exchange.holdout](exchange)
        except Failure as failure:
            exchange.failure = failure
            exchange.finished = self.clock.now()
            raise
        return answer.through(Delivered(exchange))

    def close(self, exchange: Exchange) -> None:
        """Ends the client's part. The row is written when the last call is settled."""
        if exchange.finished is None:
            exchange.finished = self.clock.now()
        exchange.release()

    def totals(self, exchange: Exchange) -> Totals | None:
        """The money of an exchange whose calls are all settled; None while a call is still open."""
        return None if any(call.outcome == "open" for call in exchange.calls) else self.books.totals(exchange)

    async def complete(self, request: Request, context: Context | None = None) -> tuple[Completion, Exchange]:
        """Asks and waits for the whole answer: the library's main call."""
        exchange = self.open(request, context if context is not None else Context())
        try:
            return await (await self.answer(exchange)).collect(), exchange
        finally:
            self.close(exchange)

    async def chat(self, text: str, model: str = "auto", **parameters: Any) -> str:
        """Asks one question; for a first try."""
        request = Request(
            protocol="openai",
            model=model,
            messages=(Message("user", (Text(text),)),),
            parameters=Parameters(**parameters),
        )
        return (await self.complete(request))[0].text

    # -- calling a model -----------------------------------------------------------------------------------------

    async def call(self, exchange: Exchange) -> Answer:
        """The end of every pipeline: one paid attempt at the exchange's target."""
        target, limits = exchange.target, exchange.limits
        backend = self.backends.get(target.backend)
        if backend is None:
            raise Unavailable(f"no backend serves {target.model}")
        for note in backend.notes(exchange.request, target):
            exchange.note(note)
        call = exchange.begin_call(target, exchange.purpose, exchange.payer)
        if exchange.background:
            self._background.own(exchange)
        if exchange.steps:  # what is counted while the provider works, nobody waits for
            asyncio.get_running_loop().call_soon(self.books.expect, call)
        # An answer that comes whole has begun only when it is finished.
        until = limits.begin_by if exchange.request.stream else limits.finish_by
        try:
            with within(until - self.clock.now()):
                answer = await begin(Waited(await backend.call(exchange.request, target, limits), self.clock, call))
        except TimeoutError:
            failure = Failure("timeout", "the model did not begin to answer in time")
            exchange.end_call(call, "failed", failure)
            raise failure from None
        except Failure as failure:
            exchange.end_call(call, "failed", failure)
            raise
        except BaseException:
            exchange.end_call(call, "abandoned")
            raise
        call.began = self.clock.now()
        self.books.begun(exchange, call)
        exchange.adopted = call
        return answer.through(Metered(call, exchange, answer.head))

    def spawn(self, coro: Any) -> None:
        """Runs background work that ends with the gateway."""
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _written(self, exchange: Exchange) -> None:
        row = self.books.close(exchange)
        self.desk.write(exchange, row)
        self.deck.observe(exchange, row)
        self.watch.consider(exchange, row)

    # -- lifetime ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Opens what needs a running loop."""
        await self.desk.start()
        if self._learnt is not None:
            await self._learnt.start()
        self.deck.start()

    async def aclose(self, *, keep: bool = False) -> None:
        """Ends background work and lets go of backends; `keep` leaves the ledger to an heir."""
        await self._background.finish()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for backend in self.backends.values():
            await backend.aclose()
        await self.deck.aclose()
        if not (keep and self.deck.counters_lent):
            await self.deck.counters.aclose()
        if not keep:
            if self._learnt is not None:
                await self._learnt.aclose()
            await self.desk.aclose()

    async def __aenter__(self) -> Gateway:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


__all__ = ["Asked", "Gateway"]
