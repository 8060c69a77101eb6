"""`/v1/messages/batches` in Anthropic's dialect, answered through the gateway where batches are configured; else, and
for batches that a provider keeps, passed on to it."""

from __future__ import annotations

from typing import Any

from hapenny.batch.message_batches import models_of
from hapenny.core.errors import Failure
from hapenny.jobs.service import BatchService
from hapenny.server.call import Call
from hapenny.server.endpoints.passthrough import forward
from hapenny.server.provider_objects import objects_of_chat, permit_objects
from hapenny.server.replies import as_json, read, whole_number
from hapenny.server.transport.messages import Response

_KEEPS = "anthropic"
"""The kind of backend that keeps such batches."""


async def batches(call: Call) -> Response:
    """Takes up a batch, or lists them, newest first."""
    ours = call.services.message_batches
    if ours is None:
        return await forward(call)
    query = call.request.query
    if call.request.method != "POST":
        limit = whole_number(query.get("limit", "20"), "limit", 1)
        before, after = query.get("before_id", ""), query.get("after_id", "")
        return as_json(ours.messages.list(call.tenant, limit=limit, before=before, after=after))
    asked = read(call.body, dict[str, Any])
    for model in models_of(asked):
        if not call.identity.may_ask(model):
            raise Failure("permission", f"this key may not ask for the model {model[:200]!r}", field="model")
    if not call.gateway.keyring.open:
        await permit_objects(call.gateway, call.services, call.identity.key_id, objects_of_chat(call.body))
    key = call.request.headers.get("idempotency-key", "")
    return as_json(await ours.create_messages(call.identity, asked, key))


async def batch(call: Call) -> Response:
    """One batch: how it stands, or its end."""
    ours = _ours(call)
    if ours is None:
        return await forward(call)
    if call.request.method == "DELETE":
        return as_json(ours.messages.delete(call.tenant, call.params["id"]))
    return as_json(ours.messages.retrieve(call.tenant, call.params["id"]))


async def cancel(call: Call) -> Response:
    """Ends a batch."""
    ours = _ours(call)
    if ours is None:
        return await forward(call)
    return as_json(await ours.cancel_messages(call.tenant, call.params["id"]))


async def results(call: Call) -> Response:
    """What was answered, a line a request."""
    ours = _ours(call)
    if ours is None:
        return await forward(call)
    body = ours.messages.results(call.tenant, call.params["id"])
    return Response(body, headers={"content-type": "application/x-jsonl"})


def _ours(call: Call) -> BatchService | None:
    """The batches here, if this is one of them or nobody else could have it."""
    ours = call.services.message_batches
    if ours is None:
        return None
    try:
        ours.messages.own(call.tenant, call.params["id"])
    except Failure:
        elsewhere = any(options.kind == _KEEPS for options in call.gateway.config.backends.values())
        return None if elsewhere else ours
    return ours
