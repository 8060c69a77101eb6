"""`/v1/embeddings`: OpenAI's clients embed with the models of every backend that makes vectors."""

from __future__ import annotations

from hapenny.admission.gate import LIMITS
from hapenny.backends.kinds import KINDS
from hapenny.caching.options import EXACT_STAGE
from hapenny.catalog import base_id
from hapenny.core.errors import Failure, invalid
from hapenny.core.exchange import Target
from hapenny.gateway.gateway import Gateway
from hapenny.gateway.text_vectors import embed, most_tokens, request_of
from hapenny.protocols.openai import embeddings
from hapenny.routing.names import LONGEST
from hapenny.server.call import Call
from hapenny.server.limit_headers import limit_headers
from hapenny.server.passable_request import models_of, named_once
from hapenny.server.transport.messages import Response
from hapenny.telemetry.headers import at_commit, at_end

_NOT_KEPT = frozenset(("no-store", "no-cache"))


async def create(call: Call) -> Response:
    """One request: a text, a batch of texts, or arrays of tokens.

    Raises:
        Failure: `not_found` for a model nobody serves, `permission`, `invalid_request` for what a guardrail blocks, or
            the provider's.
    """
    gateway, asked = call.gateway, embeddings.decode(call.body)
    named_once(asked.extras)
    for model in (asked.model, *models_of(asked.extras)):
        if not call.identity.may_ask(model):
            raise Failure("permission", f"this key may not ask for the model {model[:200]!r}", field="model")
    target = _target(gateway, asked.model)
    request = request_of(asked)
    context = call.context(request)
    route = gateway.parts.resolver.route(request, context, call.identity)
    exchange = gateway.parts.exchanges.bare(request, context, target, route)
    caches = gateway.config.routes[route].mode(EXACT_STAGE) == "on" and _NOT_KEPT.isdisjoint(context.cache_control)
    kind = gateway.config.backends[target.backend].kind
    try:
        await gateway.gate.admit(exchange, lambda: most_tokens(asked.inputs))
        asked = await gateway.parts.route_guards[route].texts(exchange, asked, gateway.parts.services)
        memory = call.services.vectors if caches else None
        done = await embed(exchange, asked, gateway.backends[target.backend], kind, memory, gateway.gate)
        exchange.commit()
        exchange.delivered, exchange.stopped = True, "end_turn"
        exchange.first_out = gateway.clock.now()
        headers = {**at_commit(exchange), "content-type": "application/json"}
        limits = exchange.stage_notes.get(LIMITS)
        if limits is not None:
            headers.update(limit_headers("openai", limits, gateway.clock.wall()))
        money = gateway.totals(exchange)
        if money is not None:
            headers.update(at_end(exchange, money))
        body = embeddings.encode(asked, target.model, done.vectors, done.tokens, done.more)
        return Response(body, headers=headers)
    except Failure as failure:
        exchange.failure = failure
        raise
    finally:
        gateway.close(exchange)


def _target(gateway: Gateway, model: str) -> Target:
    """Who makes the vectors: where the name is configured, else a backend of a kind that the model belongs to."""
    target = gateway.names.resolve(model).target
    config = gateway.config
    if target is not None and (
        target.model != model or model in config.models or _embeds(gateway, target.backend, model)
    ):
        return target
    for name in config.backends:
        if len(model) <= LONGEST and _embeds(gateway, name, model):
            return Target(model, name)
    if target is None:
        raise Failure(
            "not_found", f"the model {model[:200]!r} is not known here", field="model", fix="name an embedding model"
        )
    raise invalid(
        f"no configured backend makes vectors with {model[:200]!r}",
        "model",
        "name a model of a bedrock or openai backend",
    )


def _embeds(gateway: Gateway, backend: str, model: str) -> bool:
    """Whether a backend's kind makes vectors, and with such a model."""
    kind = KINDS[gateway.config.backends[backend].kind]
    if kind.embeds is None or backend not in gateway.backends:
        return False
    card = gateway.catalog.resolve(model)
    if kind.lists:
        return card is not None and card.kind == "embedding"
    on_bedrock = base_id(model).startswith(("amazon.", "cohere.", "twelvelabs."))
    return on_bedrock if kind.regional else not on_bedrock
