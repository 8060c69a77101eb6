"""`DELETE /v1/users/{user}/content`: erases what was kept of a user's texts."""

from __future__ import annotations

from hapenny.core.errors import Failure
from hapenny.server.call import Call
from hapenny.server.replies import as_json
from hapenny.server.transport.messages import Response


async def erase(call: Call) -> Response:
    """Erases the texts of a user of the caller's tenant. Raises `Failure`, `not_found`, where none are kept."""
    content = call.gateway.recorder.content
    if content is None:
        raise Failure("not_found", "this gateway keeps no texts", fix="nothing: there is nothing to erase")
    return as_json({"erased": await content.erase_user(call.tenant, call.params["user"])})
