"""Bedrock's batch jobs on a folder: the folder is the bucket, and jobs go on while nobody looks.

The state of a job is worked out from the time when somebody asks, and kept in files that are written whole, so that a
caller may be killed at any point without the provider noticing. What records cost is the business of `answer`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.simulation.folder_bucket import FolderBucket

Job = dict[str, Any]
_ROLE = re.compile(r"arn:aws(-[^:]+)?:iam::\d{12}:role/.+")
_NAME = re.compile(r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9+\-.]){0,63}")
_ENDED = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
FORMS = ("InvokeModel", "Converse")
SMALLEST = 100
"""Records that a job needs at the service (a quota)."""


class Refused(Exception):
    """The service refuses a call. `code`: its name for that."""

    def __init__(self, message: str, code: str = "ValidationException") -> None:
        super().__init__(message)
        self.code = code


class FolderJobs:
    """The control plane: create, get, stop, list, with boto3's arguments and answers.

    Args:
        bucket: where input is read and output written.
        clock: `wall()` is the service's time.
        answer: the model's output for a job's input; a `Failure` it raises is the record's error.
        records_per_s: how fast a job goes.
        delay_s: before a job starts: it is `Submitted`, `Validating` and `Scheduled` for a third of it each.
        fails: whether a record (id, attempt by job) fails.
        stuck: whether the job of this token never goes on.
        least: records a job needs; one with fewer fails when it is validated.
        stop_s: how long a job is `Stopping`.
        region: the service's, in job names.
        state: folder of the jobs themselves; `jobs` in the bucket when not given.
    """

    def __init__(
        self,
        bucket: FolderBucket,
        clock: Clock,
        answer: Callable[[Job, dict[str, Any]], dict[str, Any]],
        *,
        records_per_s: float = 200.0,
        delay_s: float = 0.3,
        fails: Callable[[str, str], bool] = lambda record, token: False,
        stuck: Callable[[str], bool] = lambda token: False,
        least: int = SMALLEST,
        stop_s: float = 0.0,
        region: str = "us-east-1",
        state: Path | None = None,
    ) -> None:
        self._bucket = bucket
        self._clock = clock
        self._answer = answer
        self._rate = records_per_s
        self._delay = delay_s
        self._fails = fails
        self._stuck = stuck
        self._least = least
        self._stop_s = stop_s
        self._region = region
        self._state = state or bucket.folder / "jobs"
        self._ready: dict[str, list[bytes]] = {}  # rows made ahead, by job

    # -- the calls -----------------------------------------------------------------------------------------------

    def create_model_invocation_job(self, **arguments: Any) -> dict[str, Any]:
        """Creates a job; the same `clientRequestToken` gives the same job. Raises `Refused`."""
        name, model = str(arguments.get("jobName") or ""), str(arguments.get("modelId") or "")
        form = arguments.get("modelInvocationType") or "InvokeModel"
        hours = arguments.get("timeoutDurationInHours") or 24
        if not _NAME.fullmatch(name):
            raise Refused(f"jobName {name!r} is not valid")
        if not _ROLE.fullmatch(str(arguments.get("roleArn") or "")):
            raise Refused("roleArn is no ARN of a role")
        if form not in FORMS:
            raise Refused(f"modelInvocationType {form!r} is not one of {', '.join(FORMS)}")
        if not 24 <= hours <= 168:
            raise Refused("timeoutDurationInHours must be between 24 and 168")
        source = str(arguments["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
        target = str(arguments["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"])
        token = arguments.get("clientRequestToken") or self._clock.new_id("job-")
        id = hashlib.blake2b(token.encode(), digest_size=6).hexdigest()
        if not self._path(id).exists():
            sources = self._sources(source)
            if not sources:
                raise Refused(f"{source} holds no input")
            self._keep(
                id,
                {
                    "jobArn": f"arn:aws:bedrock:{self._region}:000000000000:model-invocation-job/{id}",
                    "jobName": name,
                    "token": token,
                    "modelId": model,
                    "roleArn": arguments["roleArn"],
                    "form": form,
                    "hours": hours,
                    "sources": sources,
                    "input": arguments["inputDataConfig"],
                    "output": arguments["outputDataConfig"],
                    "target": target.rstrip("/") + "/",
                    "created": self._clock.wall(),
                    "total": sum(self._count(each) for each in sources),
                    "stopped": None,
                    "finished": "",
                    "failed": 0,
                },
            )
        return {"jobArn": self._job(id)["jobArn"]}

    def get_model_invocation_job(self, **arguments: Any) -> dict[str, Any]:
        """Where a job stands now. Raises `Refused`, if there is none."""
        job = self._job(_id(arguments["jobIdentifier"]))
        status = self._settle(job)
        done = self._done(job)
        failed = int(job["failed"])
        shown = self._summary(job, status)
        if status not in ("Submitted", "Validating"):
            shown |= {
                "totalRecordCount": job["total"],
                "processedRecordCount": done,
                "successRecordCount": done - failed,
                "errorRecordCount": failed,
            }
        return shown

    def stop_model_invocation_job(self, **arguments: Any) -> dict[str, Any]:
        """Stops a job; what it processed is kept and paid. Raises `Refused`, if it has ended."""
        id = _id(arguments["jobIdentifier"])
        job = self._job(id)
        if self._settle(job) in _ENDED:
            raise Refused("the job has ended and cannot be stopped", "ConflictException")
        if job["stopped"] is None:
            job["stopped"] = self._clock.wall()
            self._keep(id, job)
        return {}

    def list_model_invocation_jobs(self, **arguments: Any) -> dict[str, Any]:
        """Jobs, newest first; `statusEquals`, `nameContains`, `maxResults` and `nextToken` as in the service."""
        listed = []
        jobs = sorted((self._job(id) for id in self.ids()), key=lambda job: (-job["created"], job["jobArn"]))
        for job in jobs:
            status = self._settle(job)
            wanted = arguments.get("statusEquals")
            if (wanted is None or wanted == status) and (arguments.get("nameContains") or "") in job["jobName"]:
                listed.append(self._summary(job, status))
        start, most = int(arguments.get("nextToken") or 0), int(arguments.get("maxResults") or 100)
        answer: dict[str, Any] = {"invocationJobSummaries": listed[start : start + most]}
        if start + most < len(listed):
            answer["nextToken"] = str(start + most)
        return answer

    # -- for whoever runs the service -----------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """All jobs there are."""
        return [path.stem for path in sorted(self._state.glob("*.json"))]

    def open(self) -> bool:
        """Whether any job has not ended."""
        return any(not self._job(id)["finished"] for id in self.ids())

    def advance(self, most: int = 50) -> bool:
        """Makes up to `most` answers that are due, so that nobody waits for all at the end; whether there were any."""
        left = most
        for id in self.ids():
            job = self._job(id)
            if not job["finished"] and self._status(job) == "InProgress":
                rows, due = self._ready.setdefault(id, []), self._done(job)
                for record in self._inputs(job)[len(rows) : min(due, len(rows) + left)]:
                    rows.append(self._row(job, record))
                    left -= 1
            self._settle(job)
        return left < most

    def bill(self) -> dict[str, int]:
        """How often each record was processed with success, over all jobs: what has to be paid."""
        paid: dict[str, int] = {}
        for id in self.ids():
            job = self._job(id)
            for record in self._inputs(job)[: self._done(job)]:
                if not self._fails(record["recordId"], job["token"]):
                    paid[record["recordId"]] = paid.get(record["recordId"], 0) + 1
        return paid

    # -- how a job goes ------------------------------------------------------------------------------------------

    def _status(self, job: Job) -> str:
        """The status by the time of day, before anything is written."""
        if job["finished"]:
            return str(job["finished"])
        now, age = self._clock.wall(), self._clock.wall() - job["created"]
        if job["stopped"] is not None:
            return "Stopping" if now - job["stopped"] < self._stop_s else "Stopped"
        if age < self._delay / 3:
            return "Submitted"
        if age < 2 * self._delay / 3:
            return "Validating"
        if job["total"] < self._least:
            return "Failed"
        if age < self._delay:
            return "Scheduled"
        if self._done(job) >= job["total"]:
            return "Completed"
        return "Expired" if age > job["hours"] * 3600 else "InProgress"

    def _settle(self, job: Job) -> str:
        """The status; a job that has come to its end writes its output."""
        status = self._status(job)
        if status in _ENDED and not job["finished"]:
            self._finish(job, status)
        return str(job["finished"] or status)

    def _done(self, job: Job) -> int:
        if job["finished"]:
            return int(job["processed"])
        until = job["stopped"] if job["stopped"] is not None else self._clock.wall()
        until = min(until, job["created"] + job["hours"] * 3600)
        done = int(max(0.0, until - job["created"] - self._delay) * self._rate)
        if job["total"] < self._least:
            return 0
        if self._stuck(job["token"]):
            done = min(done, job["total"] // 4)
        return min(done, int(job["total"]))

    def _finish(self, job: Job, status: str) -> None:
        id = _id(job["jobArn"])
        done = self._done(job)
        rows = self._ready.pop(id, [])[:done]
        rows += [self._row(job, record) for record in self._inputs(job)[len(rows) : done]]
        failed = sum(b'"error":' in row and b'"modelOutput":' not in row for row in rows)
        if status != "Failed":
            self._write(job, id, rows, failed)
        job["processed"], job["failed"], job["ended"] = done, failed, self._clock.wall()
        job["finished"] = "PartiallyCompleted" if status == "Completed" and failed else status
        self._keep(id, job)

    def _write(self, job: Job, id: str, rows: list[bytes], failed: int) -> None:
        at, tokens = 0, [0, 0]
        folder = f"{self._bucket.key(job['target'])}{id}/"
        for source in job["sources"]:
            part = rows[at : at + self._count(source)]
            at += len(part)
            for line in part:
                usage = (msgspec.json.decode(line).get("modelOutput") or {}).get("usage") or {}
                tokens[0] += int(usage.get("input_tokens", usage.get("inputTokens", 0)))
                tokens[1] += int(usage.get("output_tokens", usage.get("outputTokens", 0)))
            name = source.rsplit("/", 1)[-1]
            part.reverse()  # the service keeps no order
            self._bucket.put(f"{folder}{name}.out", b"".join(line + b"\n" for line in part))
        manifest = {
            "totalRecordCount": job["total"],
            "processedRecordCount": len(rows),
            "successRecordCount": len(rows) - failed,
            "errorRecordCount": failed,
            "inputTokenCount": tokens[0],
            "outputTokenCount": tokens[1],
        }
        self._bucket.put(f"{folder}manifest.json.out", msgspec.json.encode(manifest))

    def _row(self, job: Job, record: dict[str, Any]) -> bytes:
        row: dict[str, Any] = dict(record)
        if self._fails(record["recordId"], job["token"]):
            row["error"] = {"errorCode": 500, "errorMessage": "internal error"}
        else:
            try:
                if not isinstance(record.get("modelInput"), dict):
                    raise Failure("invalid_request", "modelInput is missing")
                row["modelOutput"] = self._answer(job, record["modelInput"])
            except Failure as failure:
                row["error"] = {"errorCode": failure.status, "errorMessage": failure.message}
        return msgspec.json.encode(row)

    def _summary(self, job: Job, status: str) -> dict[str, Any]:
        shown = {
            "jobArn": job["jobArn"],
            "jobName": job["jobName"],
            "modelId": job["modelId"],
            "clientRequestToken": job["token"],
            "roleArn": job["roleArn"],
            "status": status,
            "modelInvocationType": job["form"],
            "submitTime": _iso(job["created"]),
            "lastModifiedTime": _iso(job.get("ended") or job["stopped"] or job["created"]),
            "inputDataConfig": job["input"],
            "outputDataConfig": job["output"],
            "timeoutDurationInHours": job["hours"],
            "jobExpirationTime": _iso(job["created"] + job["hours"] * 3600),
        }
        if job["finished"]:
            shown["endTime"] = _iso(job["ended"])
        if status == "Failed":
            shown["message"] = (
                f"Batch job {job['jobArn']} contains less records ({job['total']}) than the required minimum of: "
                f"{self._least}"
            )
        return shown

    # -- files ---------------------------------------------------------------------------------------------------

    def _sources(self, uri: str) -> list[str]:
        """One object, or the `.jsonl` objects below a prefix."""
        key = self._bucket.key(uri)
        try:
            self._bucket.get(key)
            return [key]
        except (FileNotFoundError, IsADirectoryError):
            return [each for each in self._bucket.list(key) if each.endswith(".jsonl")]

    def _inputs(self, job: Job) -> list[dict[str, Any]]:
        records = []
        for number, line in enumerate(line for source in job["sources"] for line in self._lines(source)):
            try:
                row = msgspec.json.decode(line)
            except msgspec.DecodeError:
                row = None
            row = row if isinstance(row, dict) else {}
            records.append({**row, "recordId": str(row.get("recordId") or f"{number:011d}")})
        return records

    def _lines(self, source: str) -> list[bytes]:
        return [line for line in self._bucket.get(source).splitlines() if line.strip()]

    def _count(self, source: str) -> int:
        return len(self._lines(source))

    def _job(self, id: str) -> Job:
        path = self._path(id)
        if not re.fullmatch(r"[a-z0-9]{1,64}", id) or not path.exists():
            raise Refused(f"there is no job {id[:64]!r}", "ResourceNotFoundException")
        job: Job = msgspec.json.decode(path.read_bytes())
        return job

    def _path(self, id: str) -> Path:
        return self._state / f"{id}.json"

    def _keep(self, id: str, job: Job) -> None:
        FolderBucket(self._state).put(f"{id}.json", msgspec.json.encode(job))


def _id(identifier: str) -> str:
    return identifier.rsplit("/", 1)[-1]


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
