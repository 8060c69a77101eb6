"""The Anthropic-compatible batch surface: `/v1/messages/batches` as functions of decoded values.

A server binds them to routes. A batch is of one owner (a tenant): others' batches do not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from hapenny.batch.engine import EXPIRED, BatchEngine, Prepared
from hapenny.batch.journal import on_disk
from hapenny.batch.records import Record, Result
from hapenny.batch.state import Batch
from hapenny.core.errors import Failure, invalid

MOST = 100_000
"""Requests of a batch."""
WITHIN_S = 86_400.0
"""How long a batch may take."""
PATH = "/v1/messages/batches"
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PREFIX, _OURS = "msgbatch_", "batch_"


class MessageBatches:
    """Batches of messages, over an engine whose records are Anthropic's requests."""

    def __init__(self, engine: BatchEngine) -> None:
        self._engine = engine

    def prepare(self, body: dict[str, Any]) -> Prepared:
        """The long part of `POST /v1/messages/batches`: checks the requests and writes them. It may run in a thread.

        Raises:
            Failure: `invalid_request` with the request at fault, or `unavailable` if the disk is full.
        """
        records = records_of(body)
        with on_disk():
            return self._engine.prepare(records, "")

    def enter(self, owner: str, prepared: Prepared, *, key: str = "", more: dict[str, Any] | None = None) -> str:
        """The short part: the engine's id of what is taken in from now on. `key`: an idempotency key, under which a
        batch may be known already; `more`: kept with the batch, shown to nobody."""
        named = f"{owner}/{key}" if key else ""
        metadata = {**(more or {}), "owner": owner}
        with on_disk():
            return self._engine.known(named) or self._engine.enter(prepared, WITHIN_S, key=named, metadata=metadata)

    def retrieve(self, owner: str, id: str) -> dict[str, Any]:
        """`GET /v1/messages/batches/{id}`."""
        batch = self.own(owner, id)
        ended = batch.done
        counts = dict.fromkeys(("canceled", "errored", "expired", "processing", "succeeded"), 0)
        if ended:
            for key in batch.records:
                counts[_kind(batch.results.get(key))] += 1
        else:
            counts["processing"] = len(batch.records)
        cancelled = batch.cancelled_at if batch.cancelled else None
        return {
            "id": told(batch.id),
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if batch.cancelled else "in_progress",
            "request_counts": counts,
            "created_at": _time(batch.created),
            "expires_at": _time(batch.deadline),
            "ended_at": _time(batch.ended_at or batch.created) if ended else None,
            "cancel_initiated_at": _time(cancelled or batch.created) if batch.cancelled else None,
            "archived_at": None,
            "results_url": f"{PATH}/{told(batch.id)}/results" if ended else None,
        }

    def list(self, owner: str, *, limit: int = 20, before: str = "", after: str = "") -> dict[str, Any]:
        """`GET /v1/messages/batches`, newest first: behind the id `after`, or in front of `before`."""
        batches = self._engine.batches.items()
        ids = [told(id) for id, each in batches if each.metadata.get("owner") == owner and not each.deleted]
        ids.reverse()
        limit = max(1, min(1_000, limit))
        if before in ids:
            ids = ids[: ids.index(before)]
            page, more = ids[-limit:], len(ids) > limit
        else:
            ids = ids[ids.index(after) + 1 :] if after in ids else ids
            page, more = ids[:limit], len(ids) > limit
        data = [self.retrieve(owner, id) for id in page]
        first, last = (page[0], page[-1]) if page else (None, None)
        return {"data": data, "has_more": more, "first_id": first, "last_id": last}

    def results(self, owner: str, id: str) -> bytes:
        """`GET /v1/messages/batches/{id}/results`: a line a request, in their order.

        Raises:
            Failure: `not_found`, also while it is under way.
        """
        batch = self.own(owner, id)
        if not batch.done:
            raise Failure("not_found", f"the batch {id!r} has not ended", field="batch_id", fix="wait until it has")
        lines = ({"custom_id": key, "result": _result(batch.results.get(key))} for key in batch.records)
        return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)

    def delete(self, owner: str, id: str) -> dict[str, Any]:
        """`DELETE /v1/messages/batches/{id}`: what it asked and what was answered is gone.

        Raises:
            Failure: `not_found`, or `invalid_request` while it is under way.
        """
        batch = self.own(owner, id)
        if not batch.done:
            raise invalid(
                "a batch under way cannot be deleted", "batch_id", "cancel it first, and wait until it has ended"
            )
        self._engine.delete(batch.id)
        return {"id": id, "type": "message_batch_deleted"}

    def own(self, owner: str, id: str) -> Batch:
        """The batch under Anthropic's id. Raises `Failure`, `not_found`."""
        batch = self._engine.batches.get(_OURS + id.removeprefix(_PREFIX)) if id.startswith(_PREFIX) else None
        if batch is None or batch.deleted or batch.metadata.get("owner") != owner:
            raise Failure("not_found", f"no message batch {id[:200]!r}", field="batch_id")
        return batch


def models_of(body: Any) -> Iterator[str]:
    """The models that the requests of a batch name."""
    for request in body.get("requests") or () if isinstance(body, dict) else ():
        params = request.get("params") if isinstance(request, dict) else None
        if isinstance(params, dict) and isinstance(params.get("model"), str):
            yield params["model"]


def records_of(body: dict[str, Any]) -> list[Record]:
    """The records of a batch. Raises `Failure`, `invalid_request`, naming the request that is wrong."""
    requests = body.get("requests")
    if not isinstance(requests, list) or not 1 <= len(requests) <= MOST:
        raise invalid("a batch needs requests", "requests", f"1 to {MOST} requests")
    records: list[Record] = []
    seen: set[str] = set()
    for i, request in enumerate(requests):
        at = f"requests.{i}"
        id = request.get("custom_id") if isinstance(request, dict) else None
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise invalid("custom_id is no id", f"{at}.custom_id", "1 to 64 letters, digits, - and _")
        if id in seen:
            raise invalid(f"the custom_id {id!r} stands twice", f"{at}.custom_id", "give each request its own")
        seen.add(id)
        params = request.get("params")
        if not isinstance(params, dict) or not isinstance(params.get("model"), str) or not params["model"]:
            raise invalid("the params are no request", f"{at}.params", "send params as for /v1/messages, with a model")
        if params.get("stream"):
            raise invalid("a batch is not streamed", f"{at}.params.stream", "leave stream out")
        inner = {name: value for name, value in params.items() if name not in ("model", "stream")}
        records.append(Record(id, inner, params["model"]))
    return records


def _kind(result: Result | None) -> str:
    if result is None:
        return "canceled"
    if result.output is not None:
        return "succeeded"
    return "expired" if result.error == EXPIRED else "errored"


def _result(result: Result | None) -> dict[str, Any]:
    kind = _kind(result)
    if result is None or kind == "expired":
        return {"type": kind}
    if kind == "succeeded":
        return {"type": kind, "message": result.output}
    error = {"type": "api_error" if result.retryable else "invalid_request_error", "message": result.error}
    return {"type": kind, "error": {"type": "error", "error": error, "request_id": None}}


def told(id: str) -> str:
    """The id of a batch as Anthropic writes it."""
    return _PREFIX + id.removeprefix(_OURS)


def _time(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
