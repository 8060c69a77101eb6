"""`POST /v1/retrieve`: search a collection without asking a model."""

from __future__ import annotations

from hapenny.gateway import Gateway
from hapenny.retrieval.endpoint import retrieve
from hapenny.server import http as web
from hapenny.server.info import shown
from hapenny.server.who import identify

SECONDS = 2.0
"""After so long the remote steps of a search are skipped."""


async def answer(gateway: Gateway, request: web.BaseRequest) -> web.StreamResponse:
    """What the caller's tenant and groups may see of the answer to a query.

    Raises:
        Failure: `invalid_request` or `not_found`, with field and fix.
    """
    body = await request.read()
    identity = identify(gateway.keyring, request.headers, request.method, request.raw_path, body, gateway.clock)
    found = await retrieve(
        body,
        gateway.deck.collections,
        gateway.deck.asked.embed,
        tenant=identity.tenant,
        groups=identity.groups,
        until=gateway.clock.now() + SECONDS,
    )
    return shown(found)
