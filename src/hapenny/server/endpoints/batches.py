"""`/v1/files` and `/v1/batches` in OpenAI's dialect (`hapenny.jobs.service`)."""

from __future__ import annotations

import re
from email.parser import BytesHeaderParser
from typing import Any

import msgspec

from hapenny.core.errors import Failure, invalid
from hapenny.gateway.gateway import Gateway
from hapenny.jobs.service import BatchService
from hapenny.server.auth import identify
from hapenny.server.endpoints.models import shown
from hapenny.server.transport import messages as web

ENDPOINT = "/v1/chat/completions"
"""The only endpoint whose requests a batch may hold."""

_BOUNDARY = re.compile(r'boundary="?([^";]{1,70})"?')


async def page(batches: BatchService, gateway: Gateway, request: web.BaseRequest, path: str) -> web.StreamResponse:
    """Answers a request to `/v1/files…` or `/v1/batches…`. Others' objects do not exist for a tenant.

    Raises:
        Failure: `invalid_request` or `not_found`, with field and fix.
    """
    body = await request.read()
    who = identify(gateway.keyring, request.headers, request.method, request.raw_path, body, gateway.clock)
    parts = path.strip("/").split("/")[1:]
    api, owner = batches.api, who.tenant
    match request.method, parts:
        case "POST", ["files"]:
            purpose, name, data = _upload(request.headers.get("Content-Type", ""), body)
            # Syncing many megabytes takes long: not on the loop.
            return shown(await gateway.clock.work("journal", 1, lambda: api.upload(owner, name, purpose, data)))
        case "GET", ["files"]:
            return shown(api.files(owner, limit=_limit(request, 10_000), after=request.query.get("after", "")))
        case "DELETE", ["files", id]:
            return shown(api.delete(owner, id))
        case "GET", ["files", id]:
            return shown(api.file(owner, id))
        case "GET", ["files", id, "content"]:
            return web.Response(body=api.content(owner, id), headers={"Content-Type": "application/jsonl"})
        case "POST", ["batches"]:
            return shown(batches.create(who, _asked(body), request.headers.get("Idempotency-Key", "")))
        case "GET", ["batches"]:
            return shown(api.list(owner, limit=_limit(request, 20), after=request.query.get("after", "")))
        case "GET", ["batches", id]:
            return shown(api.retrieve(owner, id))
        case "POST", ["batches", id, "cancel"]:
            return shown(await batches.cancel(owner, id))
    raise Failure("not_found", f"{request.method} {path!r} is not answered here", fix="see docs/throughput.md")


def _asked(body: bytes) -> dict[str, Any]:
    """What a batch is made of. Raises `Failure`, `invalid_request`."""
    try:
        asked = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise invalid("the body is no JSON object", "body", "input_file_id, endpoint, completion_window") from None
    if asked.get("endpoint") != ENDPOINT:
        raise invalid(f"batches for {asked.get('endpoint')!r} are not taken here", "endpoint", ENDPOINT)
    return asked


def _limit(request: web.BaseRequest, usual: int) -> int:
    limit = request.query.get("limit", str(usual))
    if not limit.isdecimal():
        raise invalid("limit is no whole number", "limit", "e.g. 20")
    return int(limit)


def _upload(content_type: str, body: bytes) -> tuple[str, str, bytes]:
    """Purpose, file name and bytes of an upload (RFC 7578).

    Raises:
        Failure: `invalid_request`, if it is none.
    """
    boundary = _BOUNDARY.search(content_type)
    if not content_type.startswith("multipart/form-data") or boundary is None:
        raise invalid("an upload is a form with a file", "Content-Type", "multipart/form-data with a boundary")
    purpose, name, data = "", "", None
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())[1:]:
        if part.startswith(b"--"):
            break
        head, _, content = part.partition(b"\r\n\r\n")
        headers = BytesHeaderParser().parsebytes(head.lstrip())
        field = headers.get_param("name", header="content-disposition")
        if field == "purpose":
            purpose = content.decode("utf-8", "replace")
        elif field == "file":
            name, data = str(headers.get_filename() or "file"), content
    if data is None:
        raise invalid("the form has no file", "file", "send the field file")
    return purpose, name, data
