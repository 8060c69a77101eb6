"""The process that is killed: an engine over a simulated Bedrock whose jobs live on in a folder.

`python -m benchmarks.batch.child FOLDER SEED STUCK`: time is compressed, a job of the provider takes about a second.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from hapenny.batch.bedrock import BedrockBatch
from hapenny.batch.engine import BatchEngine
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.options import BatchOptions
from hapenny.batch.records import Record
from hapenny.core.clock import RealClock
from hapenny.simulation.fleet_jobs import FolderJobs
from hapenny.simulation.folder_bucket import FolderBucket

RECORDS = 600
JOB = 150
DEADLINE_S = 25.0


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """The simulated model."""
    return {"text": hashlib.blake2b(str(body["n"]).encode(), digest_size=8).hexdigest()}


def fails(record: str, token: str) -> bool:
    """One record in a hundred fails in a job."""
    return hashlib.blake2b(f"{record}{token}".encode(), digest_size=2).digest()[0] < 3


def jobs(folder: Path, stuck: bool) -> tuple[FolderBucket, FolderJobs]:
    """The provider, as it stands in `folder`. With `stuck` the first job never goes on."""
    bucket = FolderBucket(folder / "bucket")
    return bucket, FolderJobs(
        bucket,
        RealClock(),
        lambda job, body: answer(body),
        records_per_s=100.0,
        delay_s=0.3,
        fails=fails,
        stuck=lambda token: stuck and token.endswith("-0"),
    )


async def work(folder: Path, seed: str, stuck: bool) -> None:
    """Takes the batch in (or finds it) and works on it until it is done."""
    clock = RealClock()
    bucket, control = jobs(folder, stuck)
    bill = os.open(folder / "on_demand.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def invoke(record: Record) -> dict[str, Any]:
        await clock.sleep(0.05)
        os.write(bill, f"{record.id}\n".encode())  # the provider charges, then answers
        return answer(record.body)

    provider = BedrockBatch(
        control, bucket, clock, role="arn:aws:iam::000000000000:role/batch", least=100, most=JOB, turnaround_s=4.0
    )
    engine = BatchEngine(
        Journal(folder / "journal"),
        {"bedrock": provider},
        Local(invoke, clock, per_s=200.0),
        clock,
        BatchOptions(margin_s=1.5, poll_s=0.1, stop_s=1.0),
    )
    records = [Record(f"{seed}-{n}", {"n": n}) for n in range(RECORDS)]
    id = engine.submit(records, "assumed-model", DEADLINE_S, key=seed)
    await engine.run(id)
    batch, status = engine.batches[id], engine.status(id)
    known = [part.job.split(" ", 1)[1] for part in batch.parts.values() if part.job]
    orphans = [
        job["jobArn"]
        for job in control.list_model_invocation_jobs()["invocationJobSummaries"]
        if job["jobArn"] not in known
    ]
    failed = {r for p in batch.parts.values() for r in p.ids if fails(r, p.token)}
    right = {r.id for r in engine.results(id) if r.output == answer(batch.records[r.id].body)}
    report = {
        "lost": RECORDS - len(right),
        "orphans": len(orphans),
        "failed_in_job": len(failed),
        "resent_ok": len(failed & right),
        "late_s": time.time() - batch.deadline,
        "batched": status.batched,
        "jobs": len(known),
    }
    (folder / "report.json").write_bytes(msgspec.json.encode(report))


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "1"))
