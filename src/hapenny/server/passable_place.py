"""Where a request goes that passes through: to the backend its model is configured on, in that provider's own names.

A request that names a model goes where the configuration has it, and nowhere else: if that provider has no such path,
the request is refused rather than handed to another vendor. One that names none goes to the backend that keeps the
objects it is about, else to the first backend of a kind that may know its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

from msgspec import Struct

from hapenny.backends.contract import Backend
from hapenny.backends.kind import PathFamily
from hapenny.backends.kinds import KINDS, passing
from hapenny.backends.passable import Passable, way
from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.server.call import Call
from hapenny.server.passable_request import Body, models_of, objects_of, read


class Destination(Struct, frozen=True):
    """Where a request goes, and what it says there."""

    name: str
    """Of the backend."""
    backend: Backend
    passable: Passable
    body: Body
    """As it was read; None where there is none."""
    asked: list[str]
    """The models it names, as the client says them."""
    targets: Mapping[str, Target]
    """What those mean."""
    objects: list[str]
    """What of the provider's objects it is about."""

    @property
    def target(self) -> Target | None:
        """The model it asks, if it names one."""
        return self.targets.get(self.asked[0]) if self.asked else None


async def place(call: Call) -> Destination:
    """Finds it.

    Raises:
        Failure: `not_found` where no backend could know the path; `invalid_request` where the model's provider has no
            such path, or the models are of several.
    """
    gateway, method, path = call.gateway, call.request.method, call.path
    kinds = passing(_family(call))
    open_ways = {kind: opened for kind in kinds if (opened := way(KINDS[kind].ways, method, path)) is not None}
    names = [name for kind in kinds for name, options in gateway.config.backends.items() if options.kind == kind]
    names = [name for name in names if name in gateway.backends]
    if not names:
        raise Failure(
            "not_found",
            f"nothing is served at {call.request.path[:200]!r}, and no configured backend could know it",
            fix=f"a backend of kind {' or '.join(kinds)} passes it on" if kinds else "docs/endpoints.md lists what is",
        )
    able = [name for name in names if gateway.config.backends[name].kind in open_ways]
    if not able:
        raise Failure(
            "not_found",
            f"{method} {path[:200]!r} is not passed on to a provider",
            fix="docs/protocols.md lists what is",
        )
    passable, about = open_ways[gateway.config.backends[able[0]].kind]
    body = read(passable, method, call.request.headers.get("content-type", ""), call.body)
    named = call.params.get("model")
    asked = list(dict.fromkeys([named] if named else models_of(body)))
    objects = [id for id in (unquote(about), *objects_of(body)) if id]
    targets = _targets(call, asked)
    configured = {target.backend for target in targets.values()}
    if len(configured) > 1:
        raise Failure(
            "invalid_request",
            f"the models of this request are of several providers: {', '.join(sorted(configured))}",
            field="model",
            fix="send one request a provider",
        )
    if configured:
        (name,) = configured
        if name not in able:
            kind = gateway.config.backends[name].kind if name in gateway.config.backends else "unknown"
            raise Failure(
                "invalid_request",
                f"{asked[0][:200]!r} is a model of the backend {name!r} (kind {kind}), which has no {path[:200]!r}",
                field="model",
                fix="ask it by another endpoint (docs/endpoints.md), or name a model whose provider has this one",
            )
    else:
        name = await _keeper(call, able, objects)
    opened = open_ways[gateway.config.backends[name].kind]
    return Destination(name, gateway.backends[name], opened[0], body, asked, targets, objects)


def _family(call: Call) -> PathFamily:
    path = call.request.path
    if path.startswith("/model/"):
        return "model"
    if path.startswith("/endpoints/"):
        return "sagemaker"
    if path.startswith("/openai/"):
        return "openai-prefix"
    if path.startswith(("/v1/", "/anthropic/")):
        return "anthropic" if call.dialect == "anthropic" else "openai"
    return "other"


def _targets(call: Call, asked: list[str]) -> dict[str, Target]:
    targets = {}
    for name in asked:
        target = call.gateway.names.resolve(name).target
        if target is not None:
            targets[name] = target
    return targets


async def _keeper(call: Call, able: list[str], objects: list[str]) -> str:
    """The backend that keeps an object, as far as it was made through here; else the likeliest."""
    if len(able) > 1:
        for id in objects:
            for name in able:
                if await call.services.owners.owns(name, id, call.identity.key_id):
                    return name
    return able[0]


def path_of(call: Call, spot: Destination) -> str:
    """The path that is sent, with the provider's own id of the model and the query as it came."""
    request = call.request
    options = call.gateway.config.backends[spot.name]
    path = request.path if KINDS[options.kind].regional else call.path
    named = call.params.get("model")
    target = spot.target
    if named and target is not None and target.model != named:
        before, _, behind = path[1:].split("/", 2)
        path = f"/{before}/{quote(target.model, safe='')}/{behind}"
    return path + (f"?{request.target.query}" if request.target.query else "")
