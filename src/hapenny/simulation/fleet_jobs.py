"""Bedrock's batch jobs on a folder: the folder is the bucket, and jobs go on while nobody looks.

The state of a job is worked out from the time when somebody asks, and kept in files that are written whole, so that a
caller may be killed at any point without the provider noticing. The bill is what the jobs processed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from hapenny.core.clock import Clock


class Refused(Exception):
    """The service's ValidationException."""


class FolderBucket:
    """A folder as a bucket."""

    def __init__(self, folder: Path, name: str = "bucket") -> None:
        self.folder = folder
        self.name = name

    def put(self, key: str, data: bytes) -> None:
        """Stores an object, whole."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_bytes(data)
        os.replace(partial, path)

    def get(self, key: str) -> bytes:
        """An object's bytes."""
        return (self.folder / key).read_bytes()

    def list(self, prefix: str) -> list[str]:
        """Keys below `prefix`."""
        files = (p for p in (self.folder / prefix).rglob("*") if p.is_file() and not p.name.startswith("."))
        return sorted(str(p.relative_to(self.folder)) for p in files)


class FolderJobs:
    """The control plane: create, get, stop, list, with boto3's arguments and answers.

    Args:
        bucket: where input is read and output written.
        clock: `wall()` is the service's time.
        answer: the model's output for an input.
        records_per_s: how fast a job goes.
        delay_s: before a job starts.
        fails: whether a record (id, attempt by job) fails.
        stuck: whether the job of this token never goes on.
        least: records a job needs.
    """

    def __init__(
        self,
        bucket: FolderBucket,
        clock: Clock,
        answer: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        records_per_s: float = 200.0,
        delay_s: float = 0.3,
        fails: Callable[[str, str], bool] = lambda record, token: False,
        stuck: Callable[[str], bool] = lambda token: False,
        least: int = 100,
    ) -> None:
        self._bucket = bucket
        self._clock = clock
        self._answer = answer
        self._rate = records_per_s
        self._delay = delay_s
        self._fails = fails
        self._stuck = stuck
        self._least = least

    def create_model_invocation_job(self, **arguments: Any) -> dict[str, Any]:
        """Creates a job; the same `clientRequestToken` gives the same job."""
        token = arguments["clientRequestToken"]
        id = hashlib.blake2b(token.encode(), digest_size=6).hexdigest()
        arn = f"arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/{id}"
        path = self._path(id)
        if not path.exists():
            source = _key(arguments["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
            total = len(self._bucket.get(source).splitlines())
            if total < self._least:
                raise Refused(f"ValidationException: {total} records, at least {self._least} are needed")
            job = {
                "jobArn": arn,
                "token": token,
                "modelId": arguments["modelId"],
                "source": source,
                "target": _key(arguments["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]),
                "created": self._clock.wall(),
                "total": total,
                "stopped": None,
                "finished": False,
            }
            self._keep(id, job)
        return {"jobArn": arn}

    def get_model_invocation_job(self, **arguments: Any) -> dict[str, Any]:
        """Where a job stands now."""
        id = arguments["jobIdentifier"].rsplit("/", 1)[-1]
        job = msgspec.json.decode(self._path(id).read_bytes())
        done = self._done(job)
        if job["stopped"] is not None or done >= job["total"]:
            self._finish(id, job, done)
            status = "Stopped" if job["stopped"] is not None else "Completed"
        else:
            status = "InProgress" if self._clock.wall() - job["created"] > self._delay else "Submitted"
        return {
            "jobArn": job["jobArn"],
            "status": status,
            "processedRecordCount": done,
            "totalRecordCount": job["total"],
        }

    def stop_model_invocation_job(self, **arguments: Any) -> dict[str, Any]:
        """Stops a job; what it processed is kept and paid."""
        id = arguments["jobIdentifier"].rsplit("/", 1)[-1]
        job = msgspec.json.decode(self._path(id).read_bytes())
        if job["stopped"] is None and not job["finished"]:
            job["stopped"] = self._clock.wall()
            self._keep(id, job)
        return {}

    def list_model_invocation_jobs(self, **arguments: Any) -> dict[str, Any]:
        """All jobs there are."""
        jobs = [msgspec.json.decode(path.read_bytes()) for path in sorted(self._bucket.folder.glob("jobs/*.json"))]
        return {"invocationJobSummaries": [{"jobArn": j["jobArn"], "jobName": j["token"]} for j in jobs]}

    def bill(self) -> dict[str, int]:
        """How often each record was processed with success, over all jobs: what has to be paid."""
        paid: dict[str, int] = {}
        for path in sorted(self._bucket.folder.glob("jobs/*.json")):
            job = msgspec.json.decode(path.read_bytes())
            for record in self._inputs(job)[: self._done(job)]:
                if not self._fails(record["recordId"], job["token"]):
                    paid[record["recordId"]] = paid.get(record["recordId"], 0) + 1
        return paid

    def _done(self, job: dict[str, Any]) -> int:
        if job["finished"]:
            return int(job["processed"])
        until = job["stopped"] if job["stopped"] is not None else self._clock.wall()
        done = int(max(0.0, until - job["created"] - self._delay) * self._rate)
        if self._stuck(job["token"]):
            done = min(done, job["total"] // 4)
        return min(done, int(job["total"]))

    def _inputs(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self._bucket.get(job["source"]).splitlines()]

    def _finish(self, id: str, job: dict[str, Any], done: int) -> None:
        if job["finished"]:
            return
        out, failed = [], 0
        for record in self._inputs(job)[:done]:
            row: dict[str, Any] = dict(record)
            if self._fails(record["recordId"], job["token"]):
                failed += 1
                row["error"] = {"errorCode": "500", "errorMessage": "internal error"}
            else:
                row["modelOutput"] = self._answer(record["modelInput"])
            out.append(msgspec.json.encode(row))
        out.reverse()  # the service keeps no order
        self._bucket.put(f"{job['target']}{id}/input.jsonl.out", b"".join(line + b"\n" for line in out))
        manifest = {
            "totalRecordCount": job["total"],
            "processedRecordCount": done,
            "successRecordCount": done - failed,
            "errorRecordCount": failed,
        }
        self._bucket.put(f"{job['target']}{id}/manifest.json.out", msgspec.json.encode(manifest))
        job["finished"], job["processed"] = True, done
        self._keep(id, job)

    def _path(self, id: str) -> Path:
        return self._bucket.folder / "jobs" / f"{id}.json"

    def _keep(self, id: str, job: dict[str, Any]) -> None:
        self._bucket.put(f"jobs/{id}.json", msgspec.json.encode(job))


def _key(uri: str) -> str:
    return uri.removeprefix("s3://").split("/", 1)[1]
