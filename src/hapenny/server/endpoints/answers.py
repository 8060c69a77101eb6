"""`GET /v1/answers/{id}`: answers that are the same for everybody, for a CDN to fetch."""

from __future__ import annotations

from hapenny.server.call import Call
from hapenny.server.transport.messages import Response


async def published(call: Call) -> Response:
    """A published answer, or why there is none."""
    answer = call.gateway.shared.edge.get(
        call.params["id"], call.request.headers.get("if-none-match", ""), head=call.request.method == "HEAD"
    )
    return Response(answer.body or b"", status=answer.status, headers=answer.headers)
