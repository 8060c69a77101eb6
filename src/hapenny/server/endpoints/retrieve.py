"""`POST /v1/retrieve`: search a collection without asking a model."""

from __future__ import annotations

from hapenny.core.exchange import Target
from hapenny.core.messages import Context, Request
from hapenny.gateway.gateway import Gateway
from hapenny.retrieval.options import RETRIEVAL_STAGE
from hapenny.server.auth import identify
from hapenny.server.endpoints.models import shown
from hapenny.server.transport import messages as web

SECONDS = 2.0
"""After so long the remote steps of a search are skipped."""


async def answer(gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
    """What the caller's tenant and groups may see of the answer to a query.

    Where the configuration lets paid models help a search, their calls stand in a row of their own.

    Raises:
        Failure: `invalid_request` or `not_found`, with field and fix.
    """
    from hapenny.retrieval.endpoint import retrieve
    from hapenny.retrieval.helping import helpers

    body = await request.read()
    identity = identify(gateway.keyring, request.headers, request.method, request.raw_path, body, gateway.clock)
    parts, options = gateway.parts, gateway.config.stages[RETRIEVAL_STAGE]
    exchange = help = None
    if options.remote:
        asked = Request(protocol="openai", model="retrieve", messages=())
        context = Context(tenant=identity.tenant, key_id=identity.key_id, groups=identity.groups)
        exchange = parts.exchanges.bare(asked, context, Target("retrieve"))
        exchange.background = "retrieve"
        fast = gateway.names.tiers.get("fast")
        help = helpers(parts.services, exchange, options.rerank_model, fast, reranks=bool(parts.rerankers))
    try:
        found = await retrieve(
            body,
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
    return shown(found)
