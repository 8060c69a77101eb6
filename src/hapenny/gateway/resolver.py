"""What a request means before any stage looks at it: which names there are, which route it takes, what its baseline
is, and whether its session is held out."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from hapenny.admission.keys import Identity
from hapenny.backends.kinds import KINDS
from hapenny.catalog import Catalog
from hapenny.config import Config, ConfigError, ModelOptions
from hapenny.core.errors import Failure
from hapenny.core.exchange import Asked, Exchange, Target
from hapenny.core.messages import Context, Parameters, Request, Text
from hapenny.core.shape import OfRequests
from hapenny.gateway.public_names import PublicNames
from hapenny.routing.names import Names

_LONG = 4_096
"""Characters of a system prompt or first turn of which the draw reads all; of longer ones it reads both ends."""


def _fingerprint(request: Request) -> str:
    """What a conversation begins with: its system prompt and first turn."""
    first = request.messages[0].text if request.messages else ""
    system = "".join([block.text for block in request.system if isinstance(block, Text)])
    said = f"{_ends(system)}\0{_ends(first)}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def _ends(text: str) -> str:
    half = _LONG // 2
    return text if len(text) <= _LONG else f"{text[:half]}\0{len(text)}\0{text[-half:]}"


class RequestResolver:
    """The choices that configuration alone decides.

    Args:
        config: the deployment.
        catalog: models by the providers' own ids.
        draw: keys the draw of the holdout, so that it cannot be guessed and lasts.

    Raises:
        ConfigError: a route's baseline names no model.
    """

    def __init__(self, config: Config, catalog: Catalog, draw: bytes) -> None:
        self._config = config
        self._draw = draw
        self._marks = OfRequests[str]()
        models = {name: self._target(model) for name, model in config.models.items()}
        self.defaults: dict[Target, Parameters] = {
            models[name]: model.parameters.said() for name, model in config.models.items()
        }
        """Parameters of configured models, where the client sends none."""
        self.names = Names(
            models, config.tiers, config.aliases, config.fallbacks, PublicNames(config, catalog, models).find
        )
        lost = [
            f"$.tiers.{tier}: {name!r} names no model. Fix: a configured model, an alias or a provider's model id"
            for tier, name in config.tiers.items()
            if tier not in self.names.tiers
        ]
        if lost:
            raise ConfigError(lost)
        self.baselines = {name: self._baseline(name, route.baseline) for name, route in config.routes.items()}

    def route(self, request: Request, context: Context, identity: Identity) -> str:
        """The route of a request: the key's, else the header's if the key allows it, else the first rule that matches,
        else `default`.

        Raises:
            Failure: `permission`, for a route by header that the key does not allow or that there is none of.
        """
        if identity.default_route:
            return identity.default_route
        if context.route is not None:
            if context.route not in self._config.routes or not identity.may_route(context.route):
                raise Failure(
                    "permission", f"this key may not use the route {context.route!r}", field="x-hapenny-route"
                )
            return context.route
        for name, route in self._config.routes.items():
            match = route.match
            if match is None or not identity.may_route(name):
                continue
            if (
                (match.model is None or match.model == request.model)
                and (match.feature is None or match.feature == context.feature)
                and (match.intent is None or match.intent == context.intent)
                and (match.protocol is None or match.protocol == request.protocol)
            ):
                return name
        return "default"

    def treated(self, route: str, asked: Asked) -> Asked:
        """What a name means on a route whose operator has models that clients name treated as something else."""
        name = self._config.routes[route].treat_as.get(asked.name)
        if name is None or asked.target is None:
            return asked
        meant = self.names.resolve(name)
        return replace(meant, name=asked.name, named=asked.target, fallbacks=meant.fallbacks or asked.fallbacks)

    def held_out(self, exchange: Exchange) -> bool:
        """Whether this request has everything off: drawn once for good by session, else by user, else by what is asked
        (the request's first turn, so that a conversation without a name stays on its side)."""
        share = self._config.routes[exchange.route].holdout
        if share <= 0:
            return False
        context = exchange.context
        who = context.session or context.user or self._mark(exchange.original)
        digest = hashlib.blake2b(f"{context.tenant}\0{who}".encode(), digest_size=8, key=self._draw).digest()
        return int.from_bytes(digest, "big") < share * 2**64

    def _mark(self, request: Request) -> str:
        mark = self._marks.get(request)
        if mark is None:
            mark = _fingerprint(request)
            small = len(request.messages) == 1 and len(request.messages[0].text) <= _LONG
            self._marks.put(request, mark, small=small)
        return mark

    def _target(self, model: ModelOptions) -> Target:
        backend = self._config.backend_of(model.backend)
        return Target(model.id, backend, model.region or self._region(backend), model.tier(), model.endpoint)

    def _region(self, backend: str) -> str:
        options = self._config.backends.get(backend)
        return options.region if options is not None and KINDS[options.kind].regional else ""

    def _baseline(self, route: str, baseline: str) -> Target:
        asked = self.names.resolve(baseline)
        if asked.target is None:
            raise ConfigError(
                [f"$.routes.{route}.baseline: {baseline!r} names no model. Fix: a tier, an alias or a model id"]
            )
        return asked.target
