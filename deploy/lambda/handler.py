"""A Lambda function behind API Gateway (HTTP API) or a function URL: OpenAI's chat completions.

Handler `handler.handle`; the configuration lies beside it as hapenny.yaml. A function lives for some minutes and on
many machines at once, so let `shared` name an ElastiCache and `ledger.path` a PostgreSQL, or leave the ledger out.
Answers are whole: who streams wants a container.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
from pathlib import Path
from typing import Any

from hapenny import Failure, Gateway, load
from hapenny.admission.keys import OPEN
from hapenny.batch.records import Record
from hapenny.core.messages import Context
from hapenny.jobs.translator import ClientAnswerer
from hapenny.protocols.registry import codec

_loop = asyncio.new_event_loop()
_CONFIG = os.environ.get("HAPENNY_CONFIG", str(Path(__file__).with_name("hapenny.yaml")))
_gateway: Gateway | None = None


async def _started() -> Gateway:
    global _gateway
    if _gateway is None:
        _gateway = Gateway(load(_CONFIG))
        await _gateway.start()
    return _gateway


async def _answer(body: dict[str, Any], id: str) -> dict[str, Any]:
    gateway = await _started()
    answerer = ClientAnswerer(codec("openai"), lambda who, request: Context(feature="lambda"))
    record = Record(
        id, {name: value for name, value in body.items() if name != "model"}, body.get("model", "auto"), OPEN
    )
    request = answerer.request(record)
    completion, _ = await gateway.complete(request, answerer.context(record, request))
    return answerer.written(request, completion)


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers one event (payload format 2.0)."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    wanted = os.environ.get("HAPENNY_KEY", "")
    given = headers.get("authorization", "").removeprefix("Bearer ")
    if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
        return _reply(401, {"error": {"message": "no such key", "type": "authentication_error"}})
    raw = event.get("body") or "{}"
    try:
        body = json.loads(base64.b64decode(raw) if event.get("isBase64Encoded") else raw)
        id = str(event.get("requestContext", {}).get("requestId") or "lambda")
        return _reply(200, _loop.run_until_complete(_answer(body, id)))
    except Failure as failure:
        return _reply(failure.status, {"error": {"message": failure.message, "type": failure.kind}})
    except (ValueError, AttributeError):
        return _reply(400, {"error": {"message": "the body is no JSON object", "type": "invalid_request_error"}})


def _reply(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
