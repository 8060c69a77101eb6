"""The OpenAI-compatible batch surface: `/v1/files` and `/v1/batches` as functions of decoded values.

A server binds them to routes. Files live in the journal's folder; a batch's lines name their own model, and all of one
batch the same endpoint.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from hapenny.batch.engine import LONGEST_ID, BatchEngine, Prepared
from hapenny.batch.journal import on_disk
from hapenny.batch.records import Record, Result
from hapenny.batch.uploads import UploadQuota, Uploads
from hapenny.core.errors import Failure, invalid
from hapenny.core.log import get_logger

MOST_LINES = 50_000
BOM = b"\xef\xbb\xbf"
"""The mark that some editors put before UTF-8."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_log = get_logger("hapenny.batches")
_MADE = ("-output", "-errors")
"""Ends of the ids of files that are made from a batch's results."""

_STATES = {"in_progress": "in_progress", "completed": "completed", "cancelling": "cancelling", "cancelled": "cancelled"}


class Wanted(NamedTuple):
    """A batch that was understood and written, and is not worked on yet."""

    prepared: Prepared
    owner: str
    within_s: float
    about: dict[str, Any]


class BatchApi:
    """Files and batches of one tenant-scoped engine. `owner` of a call is its tenant: others' objects do not exist.

    Args:
        engine: with the journal.
        quota: what the uploads of a tenant may be.
    """

    def __init__(self, engine: BatchEngine, quota: UploadQuota | None = None) -> None:
        self._engine = engine
        self._uploads = Uploads(engine, quota or UploadQuota())

    def upload(self, owner: str, filename: str, purpose: str, data: bytes) -> dict[str, Any]:
        """`POST /v1/files`.

        Raises:
            Failure: `invalid_request`, or `unavailable` if the disk is full.
        """
        if purpose != "batch":
            raise invalid(f"files for {purpose!r} are not kept here", "purpose", "use batch")
        with self._uploads.turn:
            self._uploads.make_room(owner, len(data))
            id = self._engine.clock.new_id("file-")
            about = {
                "id": id,
                "object": "file",
                "bytes": len(data),
                "created_at": int(self._engine.clock.wall()),
                "filename": filename,
                "purpose": purpose,
                "status": "processed",
            }
            kept = {**about, "owner": owner, "digest": _digest(data)}
            with on_disk():
                self._engine.journal.write(f"files/{id}", data)
                self._engine.journal.write_lines(f"files/{id}.json", [(id, kept)])
            self._uploads.add(id, kept)
        return about

    def file(self, owner: str, id: str) -> dict[str, Any]:
        """`GET /v1/files/{id}`, also of a batch's output."""
        for suffix in _MADE:
            if id.endswith(suffix):
                batch = self._engine.batches[self._own(owner, id.removesuffix(suffix))]
                return {
                    "id": id,
                    "object": "file",
                    "bytes": len(self.content(owner, id)),
                    "created_at": int(batch.created),
                    "filename": f"{id}.jsonl",
                    "purpose": "batch_output",
                    "status": "processed",
                }
        about = self._kept(id) if not self._uploads.over(id) else None
        if about is None or about.pop("owner", None) != owner:
            raise Failure("not_found", f"no file {id!r}", field="file_id")
        about.pop("digest", None)
        return about

    def _kept(self, id: str) -> dict[str, Any] | None:
        """What is kept about an upload; None: there is none, or that is damaged."""
        lines = self._engine.journal.lines(f"files/{id}.json") if _ID.fullmatch(id) else []
        if not lines or lines[0].json is None:
            return None
        about = msgspec.json.decode(lines[0].json)
        return about if isinstance(about, dict) and about.get("id") == id else None

    def files(self, owner: str, *, limit: int = 10_000, after: str = "") -> dict[str, Any]:
        """`GET /v1/files`: what was uploaded, newest first."""
        self._uploads.sweep()
        uploads = []
        for name in self._engine.journal.names("files", ".json"):
            about = self._kept(name.removesuffix(".json"))
            if about is None:
                _log.error("what is kept about an upload is damaged", path=f"files/{name}")
            elif about.pop("owner", None) == owner:
                about.pop("digest", None)
                uploads.append(about)
        uploads.sort(key=lambda about: (-about["created_at"], about["id"]))
        ids = [about["id"] for about in uploads]
        start = ids.index(after) + 1 if after in ids else 0
        page = uploads[start : start + max(1, limit)]
        return {"object": "list", "data": page, "has_more": len(uploads) > start + len(page)}

    def delete(self, owner: str, id: str) -> dict[str, Any]:
        """`DELETE /v1/files/{id}`: an upload is removed; batches made of it have their own copy."""
        if any(id.endswith(suffix) for suffix in _MADE):
            raise invalid("a batch's output is part of the batch", "file_id", "delete uploads only")
        self.file(owner, id)
        self._uploads.remove(id)
        return {"id": id, "object": "file", "deleted": True}

    def content(self, owner: str, id: str) -> bytes:
        """`GET /v1/files/{id}/content`; a batch's output file is made from its results."""
        for suffix in _MADE:
            if id.endswith(suffix):
                batch = self._engine.batches.get(self._own(owner, id.removesuffix(suffix)))
                assert batch is not None
                rows = self._engine.results(batch.id)
                wanted = [_row(r) for r in rows if (r.output is None) == (suffix == "-errors")]
                return b"".join(msgspec.json.encode(row) + b"\n" for row in wanted)
        self.file(owner, id)
        data = self._engine.journal.read(f"files/{id}")
        digest = (self._kept(id) or {}).get("digest")
        if digest is not None and digest != _digest(data):
            message = f"the file {id!r} is damaged on disk"
            raise Failure("unavailable", message, field="file_id", fix="upload it again", retryable=False)
        return data

    def create(
        self, owner: str, body: dict[str, Any], *, key: str = "", more: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """`POST /v1/batches`. `key`: the request's idempotency key; `more`: kept with the batch, shown to nobody.

        Raises:
            Failure: `invalid_request` with the line at fault, or `unavailable` if the disk is full.
        """
        return self.known(owner, key) or self.enter(self.prepare(owner, body), key=key, more=more)

    def known(self, owner: str, key: str) -> dict[str, Any] | None:
        """The batch that was made with this idempotency key before."""
        made = self._engine.known(_named(owner, key))
        return self.retrieve(owner, made) if made is not None else None

    def prepare(self, owner: str, body: dict[str, Any]) -> Wanted:
        """The long part of `create`, which may run in a thread: reads, checks and writes the records."""
        source = body.get("input_file_id")
        if not isinstance(source, str):
            raise invalid("a batch needs its input", "input_file_id", "upload a file with purpose batch")
        window = re.fullmatch(r"(\d{1,3})h", str(body.get("completion_window", "24h")))
        if window is None or not 1 <= int(window[1]) <= 168:
            raise invalid("the completion window is not understood", "completion_window", "1h to 168h")
        records = _records(self.content(owner, source), body.get("endpoint"))
        metadata = {
            "owner": owner,
            "endpoint": body.get("endpoint"),
            "input_file_id": source,
            "window": f"{window[1]}h",
            "metadata": body.get("metadata"),
        }
        with on_disk():
            return Wanted(self._engine.prepare(records, ""), owner, int(window[1]) * 3600.0, metadata)

    def enter(self, wanted: Wanted, *, key: str = "", more: dict[str, Any] | None = None) -> dict[str, Any]:
        """The short part of `create`, where the engine lives; the batch as `retrieve` gives it."""
        owner = wanted.owner
        if (known := self.known(owner, key)) is not None:  # the same request came twice at once
            self._engine.journal.remove(f"{wanted.prepared.id}/input.jsonl")
            return known
        with on_disk():
            made = self._engine.enter(
                wanted.prepared, wanted.within_s, key=_named(owner, key), metadata={**(more or {}), **wanted.about}
            )
        return self.retrieve(owner, made)

    def retrieve(self, owner: str, id: str) -> dict[str, Any]:
        """`GET /v1/batches/{id}`."""
        batch = self._engine.batches[self._own(owner, id)]
        status = self._engine.status(id)
        return {
            "id": id,
            "object": "batch",
            "endpoint": batch.metadata.get("endpoint"),
            "input_file_id": batch.metadata.get("input_file_id"),
            "completion_window": batch.metadata.get("window"),
            "status": _STATES[status.state],
            "output_file_id": f"{id}-output" if batch.done else None,
            "error_file_id": f"{id}-errors" if batch.done and status.failed else None,
            "created_at": int(batch.created),
            "expires_at": int(batch.deadline),
            "request_counts": {"total": status.total, "completed": status.succeeded, "failed": status.failed},
            "metadata": batch.metadata.get("metadata"),
        }

    def list(self, owner: str, *, limit: int = 20, after: str = "") -> dict[str, Any]:
        """`GET /v1/batches`, newest first."""
        ids = [id for id, batch in self._engine.batches.items() if batch.metadata.get("owner") == owner]
        ids.reverse()
        if after in ids:
            ids = ids[ids.index(after) + 1 :]
        page = [self.retrieve(owner, id) for id in ids[: max(1, min(100, limit))]]
        return {"object": "list", "data": page, "has_more": len(ids) > len(page)}

    async def cancel(self, owner: str, id: str) -> dict[str, Any]:
        """`POST /v1/batches/{id}/cancel`."""
        await self._engine.cancel(self._own(owner, id))
        return self.retrieve(owner, id)

    def _own(self, owner: str, id: str) -> str:
        batch = self._engine.batches.get(id)
        if batch is None or batch.metadata.get("owner") != owner:
            raise Failure("not_found", f"no batch {id!r}", field="batch_id")
        return id


def _named(owner: str, key: str) -> str:
    """A caller's idempotency key, apart from everybody else's."""
    return f"{owner}/{key}" if key else ""


def _records(data: bytes, endpoint: Any) -> list[Record]:
    """The records of an input file. Raises `Failure`, `invalid_request`, naming the line that is wrong."""
    records: list[Record] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(data.removeprefix(BOM).splitlines(), 1):
        if not line.strip():
            continue
        at = f"input_file_id line {number}"
        try:
            row = msgspec.json.decode(line)
            id, request = str(row["custom_id"]), dict(row["body"])
            named = request.pop("model")
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError):
            raise invalid("a line needs custom_id and a body with model", at, "one JSON object a line") from None
        if row.get("url", endpoint) != endpoint:
            raise invalid("the line is for another endpoint than the batch", at, str(endpoint))
        if not isinstance(named, str) or not named:
            raise invalid("the line's model is no name", at, "name a model in its body")
        if len(id) > LONGEST_ID:
            raise invalid(f"the line's custom_id is longer than {LONGEST_ID} characters", at, "a shorter one")
        if id in seen:
            raise invalid(f"the custom_id {id[:64]!r} is line {seen[id]}'s already", at, "give each line its own")
        seen[id] = number
        records.append(Record(id, request, named))
    if not records or len(records) > MOST_LINES:
        raise invalid(f"{len(records)} lines", "input_file_id", f"1 to {MOST_LINES} lines")
    return records


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _row(result: Result) -> dict[str, Any]:
    if result.output is None:
        return {"custom_id": result.id, "response": None, "error": {"code": "failed", "message": result.error}}
    return {"custom_id": result.id, "response": {"status_code": 200, "body": result.output}, "error": None}
