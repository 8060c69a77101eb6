"""Bedrock batch inference: JSON lines in a bucket, one model-invocation job, results and a manifest in the bucket.

Facts: minimum about 100 records a job (a service quota), half price, no order of results (they are joined by id),
failed records are not retried by the service, a stopped job's processed records are paid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from hapenny.batch.records import BatchRefused, JobStatus, Record, Result, State
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure

_STATES: dict[str, State] = {
    "Completed": "ended",
    "PartiallyCompleted": "ended",
    "Stopped": "ended",
    "Expired": "ended",
    "Failed": "failed",
}
_FINAL_ERRORS = frozenset(
    {"400", "403", "404", "ValidationException", "AccessDeniedException", "AccessDenied", "NoSuchBucket"}
)
T = TypeVar("T")


class Bucket(Protocol):
    """An object store, blocking."""

    name: str

    def put(self, key: str, data: bytes) -> None: ...

    def get(self, key: str) -> bytes: ...

    def list(self, prefix: str) -> list[str]: ...


class Control(Protocol):
    """The three calls of boto3's `bedrock` client that are used, blocking."""

    def create_model_invocation_job(self, **arguments: Any) -> dict[str, Any]: ...

    def get_model_invocation_job(self, **arguments: Any) -> dict[str, Any]: ...

    def stop_model_invocation_job(self, **arguments: Any) -> dict[str, Any]: ...


class S3Bucket:
    """A bucket behind boto3's `s3` client."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name

    def put(self, key: str, data: bytes) -> None:
        """Stores an object."""
        self._client.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        """An object's bytes."""
        data: bytes = self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def list(self, prefix: str) -> list[str]:
        """Keys below `prefix`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]


class BedrockBatch:
    """`BatchProvider` over Bedrock. `form`: InvokeModel bodies, or Converse requests.

    `role`: ARN of the service role that may read and write the bucket. `hours`: the job's own time limit (24-168).
    """

    name = "bedrock"
    price = 0.5

    def __init__(
        self,
        control: Control,
        bucket: Bucket,
        clock: Clock,
        *,
        role: str,
        form: Literal["InvokeModel", "Converse"] = "InvokeModel",
        prefix: str = "hapenny-batch",
        hours: int = 24,
        least: int = 100,
        most: int = 50_000,
        turnaround_s: float = 86_400.0,
    ) -> None:
        self._control = control
        self._bucket = bucket
        self._clock = clock
        self._role = role
        self._form = form
        self._prefix = prefix
        self._hours = hours
        self.least = least
        self.most = most
        self.turnaround_s = turnaround_s

    def serves(self, model: str) -> bool:
        """Whether the service has batch for it, it says itself."""
        return True

    async def create(self, token: str, model: str, records: Sequence[Record]) -> str:
        """The token is the job's name, its folder and its `clientRequestToken`."""
        if len(records) < self.least:
            raise BatchRefused(f"{len(records)} records; a job needs at least {self.least}")
        source = f"{self._prefix}/{token}/input.jsonl"
        target = f"s3://{self._bucket.name}/{self._prefix}/{token}/out/"

        def create() -> str:
            rows = (msgspec.json.encode({"recordId": r.id, "modelInput": r.body}) for r in records)
            self._bucket.put(source, b"".join(row + b"\n" for row in rows))
            job = self._control.create_model_invocation_job(
                jobName=f"hapenny-{token}",
                clientRequestToken=token,
                roleArn=self._role,
                modelId=model,
                modelInvocationType=self._form,
                inputDataConfig={
                    "s3InputDataConfig": {"s3Uri": f"s3://{self._bucket.name}/{source}", "s3InputFormat": "JSONL"}
                },
                outputDataConfig={"s3OutputDataConfig": {"s3Uri": target}},
                timeoutDurationInHours=self._hours,
            )
            return f"{token} {job['jobArn']}"

        return await self._call(create)

    async def status(self, job: str) -> JobStatus:
        arn = job.split(" ", 1)[1]
        answered = await self._call(lambda: self._control.get_model_invocation_job(jobIdentifier=arn))
        return JobStatus(
            _STATES.get(answered["status"], "running"),
            int(answered.get("processedRecordCount") or 0),
            int(answered.get("totalRecordCount") or 0),
            answered.get("message") or "",
        )

    async def results(self, job: str, records: Sequence[Record] = ()) -> list[Result]:
        """Every line of every `.jsonl.out` below the job's folder, joined by record id."""
        token = job.split(" ", 1)[0]

        def read() -> list[Result]:
            results: dict[str, Result] = {}
            for key in self._bucket.list(f"{self._prefix}/{token}/out/"):
                if key.endswith(".jsonl.out"):
                    for line in self._bucket.get(key).splitlines():
                        result = parse_line(line)
                        if result is not None and (result.id not in results or result.output is not None):
                            results[result.id] = result
            return list(results.values())

        return await self._call(read)

    async def stop(self, job: str) -> None:
        arn = job.split(" ", 1)[1]
        await self._call(lambda: self._control.stop_model_invocation_job(jobIdentifier=arn))

    async def _call(self, work: Callable[[], T]) -> T:
        """`work` off the loop, with what boto3 raises in words of ours."""
        try:
            return await self._clock.work("control", 1, work)
        except Exception as error:
            raise _said(error) from error


def _said(error: Exception) -> Exception:
    """A refusal that will stay one, a failure that may pass, or the error itself where it is none of boto3's."""
    known = getattr(error, "response", None)
    code = getattr(error, "code", "") or ((known or {}).get("Error") or {}).get("Code", "")
    if code in _FINAL_ERRORS:
        return BatchRefused(f"{code}: {error}")
    if code or type(error).__module__.partition(".")[0] in ("botocore", "boto3"):
        kind: Literal["rate_limited", "upstream"] = "rate_limited" if "hrottl" in code else "upstream"
        return Failure(kind, f"Bedrock's batch API: {error}", upstream_type=code or type(error).__name__)
    return error


def parse_line(line: bytes) -> Result | None:
    """A line of an output file; None for a torn or foreign one."""
    try:
        row = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    if not isinstance(row, dict) or "recordId" not in row:
        return None
    if row.get("modelOutput") is not None:
        return Result(row["recordId"], output=row["modelOutput"])
    error = row.get("error") or {}
    code = str(error.get("errorCode", ""))
    message = f"{code} {error.get('errorMessage', '')}".strip() or "no output"
    return Result(row["recordId"], error=message, retryable=code not in _FINAL_ERRORS)
