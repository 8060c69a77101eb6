"""The provider's batch job makes no progress."""

from typing import Any

from hapenny.batch.bedrock import BedrockBatch
from hapenny.batch.engine import BatchEngine
from hapenny.batch.journal import Journal
from hapenny.batch.local import Local
from hapenny.batch.options import BatchOptions
from hapenny.batch.records import Record
from hapenny.simulation.fleet_jobs import FolderJobs
from hapenny.simulation.folder_bucket import FolderBucket
from scenarios.scene import Scenario, Scene

SCENARIO = Scenario(
    skill="4.2.3",
    title="A batch job is stuck",
    happens="The nightly job with two hundred descriptions stands at a quarter since midnight. The shop opens at six.",
    does="A job that makes no progress is left while there is still time: what it has answered is kept and not "
    "paid twice, the rest is sent one by one before the deadline.",
    sees="`hapenny batch status ID` (batched, single, failed), the job's rows in the report.",
    act="Nothing; tell the provider.",
    check="hapenny batch status ID",
    proof="All records are answered before the deadline, each paid once.",
    naive="The job is all there is: hardly anything can be sent one by one.",
)


def answer(body: Any) -> dict[str, Any]:
    return {"echo": body["n"]}


async def run(scene: Scene) -> None:
    sent: list[str] = []

    async def invoke(record: Record) -> dict[str, Any]:
        sent.append(record.id)
        await scene.clock.sleep(1.0)
        return answer(record.body)

    bucket = FolderBucket(scene.folder / "bucket")
    jobs = FolderJobs(
        bucket, scene.clock, lambda job, body: answer(body), records_per_s=1.0, delay_s=60, stuck=lambda token: True
    )
    role = "arn:aws:iam::000000000000:role/batch"
    provider = BedrockBatch(jobs, bucket, scene.clock, role=role, most=300, turnaround_s=600.0)
    options = BatchOptions(margin_s=30, poll_s=10)
    local = Local(invoke, scene.clock, per_s=0.01 if scene.broken else 10)
    engine = BatchEngine(Journal(scene.folder / "journal"), {"bedrock": provider}, local, scene.clock, options)
    id = engine.submit([Record(f"r{n}", {"n": n}) for n in range(200)], "model", 1_800)
    await engine.run(id)
    results = {result.id: result.output for result in engine.results(id)}
    assert results == {f"r{n}": {"echo": n} for n in range(200)}
    assert scene.clock.now() < 1_800
    assert len(sent) == len(set(sent)) == 150  # a quarter had been answered, and is not paid twice
