"""`/v1/files` and `/v1/batches` in OpenAI's dialect. What is no batch passes through to the provider that keeps it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hapenny.backends.kinds import KINDS
from hapenny.batch.api import BatchApi
from hapenny.core.errors import Failure, invalid
from hapenny.jobs.service import BatchService
from hapenny.server.call import Call
from hapenny.server.endpoints.passthrough import forward
from hapenny.server.multipart import form
from hapenny.server.passable_request import further_models_of_lines, permit_models
from hapenny.server.provider_objects import objects_of_lines, permit_objects
from hapenny.server.replies import as_json, read, whole_number
from hapenny.server.transport.messages import Response

T = TypeVar("T")
ENDPOINT = "/v1/chat/completions"
"""The only endpoint whose requests a batch may hold."""


async def _aside(call: Call, work: Callable[[], T]) -> T:
    """What reads or writes many megabytes, in a thread: others must not wait for it."""
    return await call.gateway.clock.work("journal", 1, work)


def _ours(call: Call) -> BatchService | None:
    """The batch jobs, where there are some and the client speaks their dialect."""
    return call.services.batches if call.dialect == "openai" else None


async def files(call: Call) -> Response:
    """Uploads for batches, and what was uploaded, newest first. Files for anything else are the provider's."""
    ours = _ours(call)
    if ours is None:
        return await forward(call)
    api, query = ours.api, call.request.query
    if call.request.method != "POST":
        limit = whole_number(query.get("limit", "10000"), "limit", 1)
        after = query.get("after", "")
        return as_json(await _aside(call, lambda: api.files(call.tenant, limit=limit, after=after)))
    fields = form(call.request.headers.get("content-type", ""), call.body)
    purpose = fields.get("purpose", ("", b""))[1].decode("utf-8", "replace")
    if purpose != "batch" and _provider(call):
        return await forward(call)
    if "file" not in fields:
        raise invalid("the form has no file", "file", "send the field file")
    name, data = fields["file"]
    return as_json(await _aside(call, lambda: api.upload(call.tenant, name or "file", purpose, data)))


async def file(call: Call) -> Response:
    """One file: what it is, or its end."""
    ours = _ours(call)
    if ours is None or not _holds(ours.api, call):
        return await forward(call)
    if call.request.method == "DELETE":
        return as_json(ours.api.delete(call.tenant, call.params["id"]))
    return as_json(ours.api.file(call.tenant, call.params["id"]))


async def content(call: Call) -> Response:
    """A file's bytes."""
    ours = _ours(call)
    if ours is None or not _holds(ours.api, call):
        return await forward(call)
    api = ours.api
    data = await _aside(call, lambda: api.content(call.tenant, call.params["id"]))
    return Response(data, headers={"content-type": "application/jsonl"})


async def batches(call: Call) -> Response:
    """Takes up a batch, or lists them, newest first. Batches for other endpoints are the provider's."""
    ours = _ours(call)
    if ours is None:
        return await forward(call)
    query = call.request.query
    if call.request.method != "POST":
        limit = whole_number(query.get("limit", "20"), "limit", 1)
        return as_json(ours.api.list(call.tenant, limit=limit, after=query.get("after", "")))
    asked = read(call.body, dict[str, Any])
    if asked.get("endpoint") != ENDPOINT:
        if _elsewhere(asked) and _provider(call):
            return await forward(call)
        raise invalid(f"batches for {str(asked.get('endpoint'))[:100]!r} are not taken here", "endpoint", ENDPOINT)
    if not call.gateway.keyring.open and isinstance(asked.get("input_file_id"), str):
        file = asked["input_file_id"]
        lines = await _aside(call, lambda: ours.api.content(call.tenant, file))
        if "*" not in call.identity.models:
            permit_models(call.identity, await _aside(call, lambda: further_models_of_lines(lines)))
        named = await _aside(call, lambda: objects_of_lines(lines))
        await permit_objects(call.gateway, call.services, call.identity.key_id, named)
    return as_json(await ours.create(call.identity, asked, call.request.headers.get("idempotency-key", "")))


async def batch(call: Call) -> Response:
    """One batch."""
    ours = _ours(call)
    if ours is None or not _known(ours.api, call):
        return await forward(call)
    return as_json(ours.api.retrieve(call.tenant, call.params["id"]))


async def cancel(call: Call) -> Response:
    """Ends a batch."""
    ours = _ours(call)
    if ours is None or not _known(ours.api, call):
        return await forward(call)
    return as_json(await ours.cancel(call.tenant, call.params["id"]))


def _elsewhere(asked: dict[str, Any]) -> bool:
    """Whether a provider may take the batch: it names one of its endpoints."""
    endpoint = asked.get("endpoint")
    return isinstance(endpoint, str) and endpoint.startswith("/v1/")


def _provider(call: Call) -> bool:
    """Whether there is a provider that keeps files and batches of this dialect."""
    return any(KINDS[options.kind].files for options in call.gateway.config.backends.values())


def _holds(api: BatchApi, call: Call) -> bool:
    """Whether the file is one of ours, or nobody else could have it."""
    try:
        api.file(call.tenant, call.params["id"])
    except Failure:
        return not _provider(call)
    return True


def _known(api: BatchApi, call: Call) -> bool:
    """Whether the batch is one of ours, or nobody else could have it."""
    try:
        api.retrieve(call.tenant, call.params["id"])
    except Failure:
        return not _provider(call)
    return True
