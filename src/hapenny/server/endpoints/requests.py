"""`GET /v1/requests/{id}`: what is known of one request."""

from __future__ import annotations

from hapenny.core.errors import Failure
from hapenny.server.call import Call
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response


async def one(call: Call) -> Response:
    """Its row; only its own tenant may read it. Raises `Failure`, `not_found`."""
    id, ledger = call.params["id"], call.gateway.ledger
    row = await ledger.get(id) if ledger is not None else None
    if row is None or row.tenant != call.tenant:
        raise Failure("not_found", f"no request {id[:64]!r} in the ledger")
    return as_json(row)
