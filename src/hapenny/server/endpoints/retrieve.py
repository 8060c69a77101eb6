"""`POST /v1/retrieve`: search a collection without asking a model."""

from __future__ import annotations

from hapenny.core.exchange import Target
from hapenny.core.messages import Request
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.server.call import Call
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response

SECONDS = 2.0
"""After so long the remote steps of a search are skipped."""


async def search(call: Call) -> Response:
    """What the caller's tenant and groups may see of the answer to a query.

    Where the configuration lets paid models help a search, their calls stand in a row of their own.

    Raises:
        Failure: `invalid_request` or `not_found`, with field and fix.
    """
    from hapenny.retrieval.endpoint import retrieve
    from hapenny.retrieval.search.model_steps import helpers

    gateway, identity = call.gateway, call.identity
    parts, options = gateway.parts, gateway.config.stages[RETRIEVAL_STAGE]
    exchange = help = None
    if options.remote:
        asked = Request(protocol="openai", model="retrieve", messages=())
        exchange = parts.exchanges.bare(asked, call.context(), Target("retrieve"))
        exchange.background = "retrieve"
        fast = gateway.names.tiers.get("fast")
        help = helpers(parts.services, exchange, options.rerank_model, fast, reranks=bool(parts.rerankers))
    try:
        answer = await retrieve(
            call.body,
            parts.shared.collections,
            parts.shared.request_embedder().embed,
            tenant=identity.tenant,
            groups=identity.groups,
            help=help,
            until=gateway.clock.now() + SECONDS,
        )
    finally:
        if exchange is not None:
            gateway.close(exchange)
    return as_json(answer)
