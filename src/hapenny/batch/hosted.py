"""The batch APIs of OpenAI and Anthropic, over any HTTP client.

Neither takes an idempotency token, so a job that may have been created before a crash is looked for first: OpenAI's
by the token in its metadata, Anthropic's by its number of records and the time since the intent; results carry the
record's id, and foreign ones are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from hapenny.batch.records import BatchRefused, JobStatus, Record, Result
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure

YOUNG_S = 3600.0
"""A running job that is older than this was not created just before a crash."""

_CUSTOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Http(Protocol):
    """One HTTP exchange: status and body. Raises `Failure` when the server cannot be reached."""

    async def __call__(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> tuple[int, bytes]: ...


async def _json(http: Http, method: str, path: str, value: Any = None) -> dict[str, Any]:
    status, body = await http(method, path, b"" if value is None else msgspec.json.encode(value))
    return _checked(status, body)


def _checked(status: int, body: bytes) -> dict[str, Any]:
    if status == 400 or status == 422:
        raise BatchRefused(body[:500].decode("utf-8", "replace"))
    if status >= 300:
        message = f"the batch API answered {status}"
        raise Failure("rate_limited" if status == 429 else "upstream", message, upstream_status=status)
    fields: dict[str, Any] = msgspec.json.decode(body)
    return fields


class OpenAIBatch:
    """`BatchProvider` over `/v1/files` and `/v1/batches`."""

    name = "openai"
    price = 0.5

    def __init__(self, http: Http, clock: Clock, *, url: str = "/v1/chat/completions") -> None:
        self._http = http
        self._clock = clock
        self._url = url
        self.least, self.most = 1, 50_000
        self.turnaround_s = 86_400.0

    def serves(self, model: str) -> bool:
        return True

    async def create(self, token: str, model: str, records: Sequence[Record]) -> str:
        listed = await _json(self._http, "GET", "/v1/batches?limit=100")
        for batch in listed.get("data", ()):
            if (batch.get("metadata") or {}).get("hapenny_token") == token:
                return str(batch["id"])
        rows = (
            {"custom_id": r.id, "method": "POST", "url": self._url, "body": {**r.body, "model": model}} for r in records
        )
        data = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        edge = f"hapenny-{token}"
        form = (
            f'--{edge}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{token}.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        form += data + f"\r\n--{edge}--\r\n".encode()
        status, body = await self._http("POST", "/v1/files", form, f"multipart/form-data; boundary={edge}")
        file = _checked(status, body)
        value = {
            "input_file_id": file["id"],
            "endpoint": self._url,
            "completion_window": "24h",
            "metadata": {"hapenny_token": token},
        }
        return str((await _json(self._http, "POST", "/v1/batches", value))["id"])

    async def status(self, job: str) -> JobStatus:
        batch = await _json(self._http, "GET", f"/v1/batches/{job}")
        counts = batch.get("request_counts") or {}
        done = int(counts.get("completed", 0)) + int(counts.get("failed", 0))
        if batch["status"] == "failed":
            return JobStatus("failed", done, int(counts.get("total", 0)), str(batch.get("errors") or ""))
        ended = batch["status"] in ("completed", "expired", "cancelled")
        return JobStatus("ended" if ended else "running", done, int(counts.get("total", 0)))

    async def results(self, job: str, records: Sequence[Record] = ()) -> list[Result]:
        """The output and the error file."""
        batch = await _json(self._http, "GET", f"/v1/batches/{job}")
        results = []
        for field in ("output_file_id", "error_file_id"):
            if not batch.get(field):
                continue
            status, body = await self._http("GET", f"/v1/files/{batch[field]}/content")
            if status >= 300:
                raise Failure("upstream", f"the file of a batch answered {status}", upstream_status=status)
            results += [self._result(msgspec.json.decode(line)) for line in body.splitlines() if line.strip()]
        return results

    async def stop(self, job: str) -> None:
        await _json(self._http, "POST", f"/v1/batches/{job}/cancel")

    def _result(self, row: dict[str, Any]) -> Result:
        response = row.get("response") or {}
        code = int(response.get("status_code") or 0)
        if code == 200:
            return Result(row["custom_id"], output=response.get("body"))
        error = row.get("error") or response.get("body") or {}
        return Result(row["custom_id"], error=str(error)[:500], retryable=code == 0 or code == 429 or code >= 500)


class AnthropicBatch:
    """`BatchProvider` over `/v1/messages/batches`."""

    name = "anthropic"
    price = 0.5

    def __init__(self, http: Http, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._mine: set[str] = set()
        self.least, self.most = 1, 10_000
        self.turnaround_s = 86_400.0

    def serves(self, model: str) -> bool:
        return True

    async def create(self, token: str, model: str, records: Sequence[Record]) -> str:
        """Ids may hold letters, digits, `_` and `-`, 64 at most."""
        bad = next(
            (r.id for r in records if len(r.id) > 64 or not r.id.replace("_", "").replace("-", "").isalnum()), None
        )
        if bad is not None:
            raise BatchRefused(f"record id {bad!r}: up to 64 letters, digits, _ and - are taken")
        listed = await _json(self._http, "GET", "/v1/messages/batches?limit=20")
        for batch in listed.get("data", ()):
            counts = sum((batch.get("request_counts") or {}).values())
            if batch["id"] not in self._mine and counts == len(records) and await self._holds(batch, records):
                self._mine.add(batch["id"])
                return str(batch["id"])
        value = {"requests": [{"custom_id": r.id, "params": {**r.body, "model": model}} for r in records]}
        id = str((await _json(self._http, "POST", "/v1/messages/batches", value))["id"])
        self._mine.add(id)
        return id

    async def status(self, job: str) -> JobStatus:
        self._mine.add(job)
        batch = await _json(self._http, "GET", f"/v1/messages/batches/{job}")
        counts = batch.get("request_counts") or {}
        total = sum(counts.values())
        ended = batch["processing_status"] == "ended"
        return JobStatus("ended" if ended else "running", total - int(counts.get("processing", 0)), total)

    async def results(self, job: str, records: Sequence[Record] = ()) -> list[Result]:
        status, body = await self._http("GET", f"/v1/messages/batches/{job}/results")
        if status >= 300:
            return []
        return [self._result(msgspec.json.decode(line)) for line in body.splitlines() if line.strip()]

    async def stop(self, job: str) -> None:
        await _json(self._http, "POST", f"/v1/messages/batches/{job}/cancel")

    async def _holds(self, batch: dict[str, Any], records: Sequence[Record]) -> bool:
        """Whether an ended batch is about these records; one that still runs is taken to be if it is young."""
        if batch["processing_status"] != "ended":
            created = datetime.fromisoformat(batch["created_at"].replace("Z", "+00:00")).timestamp()
            return self._clock.wall() - created < YOUNG_S
        ids = {record.id for record in records}
        results = await self.results(batch["id"])
        return bool(results) and all(result.id in ids for result in results)

    def _result(self, row: dict[str, Any]) -> Result:
        outcome = row["result"]
        if outcome["type"] == "succeeded":
            return Result(row["custom_id"], output=outcome["message"])
        error = (outcome.get("error") or {}).get("error") or outcome.get("error") or {}
        final = outcome["type"] == "errored" and error.get("type") == "invalid_request_error"
        text = f"{outcome['type']} {error.get('message', '')}".strip()
        return Result(row["custom_id"], error=text, retryable=not final)
