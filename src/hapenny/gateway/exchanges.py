"""The story of a request, opened and closed: route, names, limits and baseline at its beginning, its row at its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from hapenny.admission.keys import OPEN, Identity
from hapenny.config import Config, RouteOptions, answer_version
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.exchange import Exchange, Limits, Policy, Target
from hapenny.core.log import get_logger
from hapenny.core.messages import Context, Request
from hapenny.gateway.limits import SOON_S, head_after
from hapenny.gateway.resolver import RequestResolver
from hapenny.routing.intents.classifier import Classifier
from hapenny.routing.names import TIERS
from hapenny.telemetry.books import Books
from hapenny.telemetry.rows import Row

_log = get_logger("hapenny.requests")

Observer: TypeAlias = Callable[[Exchange, Row], None]
"""Reads a finished request and its row. Must neither wait nor raise."""

_PASSED = RouteOptions(begin_s=600.0)
"""The limits of requests that are passed on as they are."""


class Exchanges:
    """Opens exchanges, and hands each with its row to the observers when it is closed and all its calls are settled.

    Args:
        config: the deployment.
        clock: the deployment's clock.
        resolver: routes, names and baselines.
        books: settles calls and makes rows.
        intents: says the intent of requests that come without one; None says nothing.
        epoch: how often the answers of a route became doubtful; stored ones of before are no longer served.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        resolver: RequestResolver,
        books: Books,
        intents: Classifier | None,
        epoch: Callable[[str], int] = lambda route: 0,
    ) -> None:
        self._epoch = epoch
        self._routes = config.routes
        self._clock = clock
        self._resolver = resolver
        self._books = books
        self._intents = intents
        self._observers: tuple[Observer, ...] = ()
        self._patience = {name: head_after(config, route) for name, route in config.routes.items()}
        self._versions = {name: answer_version(config, name) for name in config.routes}

    def observe(self, *observers: Observer) -> None:
        """Adds observers: they read every request that ends from now on, in this order."""
        self._observers = (*self._observers, *observers)

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
        resolver, clock = self._resolver, self._clock
        asked = resolver.names.resolve(request.model)
        if not identity.may_ask(request.model):
            raise Failure("permission", f"this key may not ask for the model {request.model[:200]!r}", field="model")
        if asked.kind == "model" and asked.target is None:
            tier = request.model in TIERS
            raise Failure(
                "not_found",
                f"no model is configured for the tier {request.model[:200]!r}"
                if tier
                else f"the model {request.model[:200]!r} is not known here",
                field="model",
                fix=f"one of {', '.join(resolver.names.names())}, or a provider's model id",
            )
        name = route or resolver.route(request, context, identity)
        options = self._routes[name]
        named = asked.target if asked.kind in ("model", "tier") else None  # what is asked for by name is the baseline
        treated = resolver.treated(name, asked) if options.treat_as else asked
        exchange = Exchange(
            id=id or clock.new_id("req_"),
            request=request,
            context=context,
            clock=clock,
            limits=self._limits(name),
            baseline=named if named is not None else resolver.baselines[name],
            route=name,
            max_calls=options.max_calls,
            asked=treated,
            policy=Policy(treated.policy, self._version(name), options.prompt_version, options.knowledge_epoch),
            background=background,
        )
        if self._intents is not None and context.intent is None and request.question:
            exchange.intent = self._intents.classify(request.question)[0]
        if treated is not asked:
            exchange.note(f"treated-as={options.treat_as[request.model]}")
        exchange.holdout = resolver.held_out(exchange)
        self._booked(exchange)
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
            id=self._clock.new_id("req_"),
            request=request,
            context=context,
            clock=self._clock,
            limits=self._limits(route),
            baseline=target,
            route=route or "default",
            max_calls=1,
            background=background,
        )
        self._booked(exchange)
        return exchange

    def close(self, exchange: Exchange) -> None:
        """Ends the caller's part. The row is written when the last call is settled."""
        if exchange.finished is None:
            exchange.finished = self._clock.now()
        exchange.release()

    def _version(self, route: str) -> str:
        epoch = self._epoch(route)
        return f"{self._versions[route]}.{epoch}" if epoch else self._versions[route]

    def _limits(self, route: str) -> Limits:
        now, options = self._clock.now(), self._routes[route] if route else _PASSED
        patience = self._patience.get(route, SOON_S)
        return Limits(now + options.begin_s, now + options.finish_s, options.idle_s, patience)

    def _booked(self, exchange: Exchange) -> None:
        exchange.on_call(self._books.settle)
        exchange.on_end(partial(self._ended, exchange))

    def _ended(self, exchange: Exchange) -> None:
        row = self._books.close(exchange)
        for observer in self._observers:
            try:
                observer(exchange, row)
            except Exception as error:  # it must not cost the others what they have to write down
                _log.error("a finished request could not be observed", request=exchange.id, error=error)
