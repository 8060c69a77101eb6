"""Providers against services that keep their own state: S3 by moto, the hosted batch APIs as constructed servers."""

import json
import re

import pytest

from hapenny.batch.bedrock import BedrockBatch, S3Bucket, parse_line
from hapenny.batch.hosted import AnthropicBatch, OpenAIBatch
from hapenny.batch.records import BatchRefused, Record
from hapenny.core.clock import RealClock
from hapenny.simulation import loop
from hapenny.simulation.fleet_jobs import FolderJobs
from hapenny.simulation.folder_bucket import FolderBucket


def records(count):
    return [Record(f"r{n}", {"n": n}) for n in range(count)]


def test_a_real_s3_client_lists_reads_and_writes(monkeypatch):
    boto3 = pytest.importorskip("boto3")
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="batch-test")
        bucket = S3Bucket(client, "batch-test")
        for number in range(12):
            bucket.put(f"p/{number:04d}.jsonl.out", b"x%d" % number)
        bucket.put("q/other", b"y")
        assert len(bucket.list("p/")) == 12
        assert bucket.get("p/0007.jsonl.out") == b"x7"


def test_arguments_of_a_job_are_what_the_service_model_takes(tmp_path):
    botocore = pytest.importorskip("botocore.session")
    from botocore.validate import ParamValidator

    shape = botocore.get_session().get_service_model("bedrock").operation_model("CreateModelInvocationJob").input_shape
    bucket = FolderBucket(tmp_path)

    class Checked(FolderJobs):
        def create_model_invocation_job(self, **arguments):
            report = ParamValidator().validate(arguments, shape)
            assert not report.has_errors(), report.generate_report()
            assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", arguments["clientRequestToken"])
            return super().create_model_invocation_job(**arguments)

    async def main(clock):
        control = Checked(bucket, clock, lambda job, body: body, records_per_s=1000, delay_s=1)
        provider = BedrockBatch(control, bucket, clock, role="arn:aws:iam::111122223333:role/b", form="Converse")
        job = await provider.create("batch-abc-0", "model", records(100))
        assert await provider.create("batch-abc-0", "model", records(100)) == job
        assert (await provider.status(job)).state == "running"
        await clock.sleep(10)
        assert (await provider.status(job)).state == "ended"
        assert {r.id: r.output["n"] for r in await provider.results(job)} == {f"r{n}": n for n in range(100)}
        with pytest.raises(BatchRefused):
            await provider.create("t2", "model", records(5))

    loop.run(main)


def test_lines_are_joined_by_id_and_torn_ones_left_out():
    assert parse_line(b'{"recordId":"a","modelInput":{},"modelOutput":{"x":1}}').output == {"x": 1}
    failed = parse_line(b'{"recordId":"a","error":{"errorCode":"400","errorMessage":"bad"}}')
    assert (failed.error, failed.retryable) == ("400 bad", False)
    assert parse_line(b'{"recordId":"a","error":{"errorCode":"500","errorMessage":"oops"}}').retryable
    assert parse_line(b'{"recordId":"a","modelOu') is None


class OpenAI:
    """`/v1/files` and `/v1/batches`; dies after creating when told to."""

    def __init__(self):
        self.files, self.batches, self.die = {}, {}, False

    async def __call__(self, method, path, body=b"", content_type="application/json"):
        if (method, path) == ("POST", "/v1/files"):
            edge = content_type.split("boundary=")[1].encode()
            part = next(p for p in body.split(b"--" + edge) if b'name="file"' in p)
            id = f"file-{len(self.files)}"
            self.files[id] = part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            return 200, json.dumps({"id": id}).encode()
        if method == "POST" and path == "/v1/batches":
            asked = json.loads(body)
            id = f"batch_{len(self.batches)}"
            self.batches[id] = {"id": id, "status": "completed", "metadata": asked["metadata"]}
            out = []
            for line in self.files[asked["input_file_id"]].splitlines():
                row = json.loads(line)
                code = 500 if row["body"]["n"] == 3 else 200
                reply = {"status_code": code, "body": {"echo": row["body"]}}
                out.append(json.dumps({"custom_id": row["custom_id"], "response": reply}).encode())
            self.files[f"{id}-out"] = b"\n".join(reversed(out))
            self.batches[id]["output_file_id"] = f"{id}-out"
            if self.die:
                raise ConnectionError
            return 200, json.dumps(self.batches[id]).encode()
        if path.startswith("/v1/batches?"):
            return 200, json.dumps({"data": list(self.batches.values())}).encode()
        if path.startswith("/v1/files/"):
            return 200, self.files[path.split("/")[3]]
        return 200, json.dumps(self.batches[path.split("/")[3]]).encode()


async def test_openai_jobs_are_found_again_by_their_token():
    service = OpenAI()
    provider = OpenAIBatch(service, RealClock(1))
    service.die = True
    with pytest.raises(ConnectionError):
        await provider.create("t-0", "gpt", records(5))
    service.die = False
    job = await provider.create("t-0", "gpt", records(5))
    assert len(service.batches) == 1
    assert (await provider.status(job)).state == "ended"
    results = {r.id: r for r in await provider.results(job)}
    assert results["r1"].output == {"echo": {"n": 1, "model": "gpt"}}
    assert results["r3"].output is None
    assert results["r3"].retryable
    assert await provider.create("t-1", "gpt", records(5)) != job


class Anthropic:
    """`/v1/messages/batches`."""

    def __init__(self, clock):
        self.clock, self.batches, self.die = clock, {}, False

    async def __call__(self, method, path, body=b"", content_type="application/json"):
        if method == "POST" and path == "/v1/messages/batches":
            asked = json.loads(body)["requests"]
            id = f"msgbatch_{len(self.batches)}"
            self.batches[id] = {
                "id": id,
                "processing_status": "in_progress",
                "created_at": "2026-01-01T00:00:00Z",
                "request_counts": {"processing": len(asked), "succeeded": 0},
                "asked": asked,
            }
            if self.die:
                raise ConnectionError
            return 200, json.dumps(self.batches[id]).encode()
        if path.startswith("/v1/messages/batches?"):
            return 200, json.dumps({"data": list(self.batches.values())}).encode()
        id = path.split("/")[4]
        if path.endswith("/results"):
            rows = []
            for request in self.batches[id]["asked"]:
                result = {"type": "succeeded", "message": {"content": [], "n": request["params"]["n"]}}
                if request["params"]["n"] == 2:
                    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "bad"}}
                    result = {"type": "errored", "error": error}
                rows.append(json.dumps({"custom_id": request["custom_id"], "result": result}).encode())
            return 200, b"\n".join(rows)
        return 200, json.dumps(self.batches[id]).encode()


def test_anthropic_jobs_created_before_a_crash_are_adopted_and_old_ones_are_not():
    async def main(clock):
        service = Anthropic(clock)
        service.die = True
        with pytest.raises(ConnectionError):
            await AnthropicBatch(service, clock).create("t-0", "claude", records(4))
        service.die = False
        provider = AnthropicBatch(service, clock)
        job = await provider.create("t-0", "claude", records(4))
        assert len(service.batches) == 1
        service.batches[job]["processing_status"] = "ended"
        results = {r.id: r for r in await provider.results(job)}
        assert results["r0"].output == {"content": [], "n": 0}
        assert (results["r2"].error, results["r2"].retryable) == ("errored bad", False)
        service.batches["old"] = {**service.batches[job], "id": "old", "processing_status": "in_progress"}
        await clock.sleep(2 * 3600)
        assert await provider.create("t-1", "claude", records(4)) == "msgbatch_2"
        with pytest.raises(BatchRefused):
            await provider.create("t-2", "claude", [Record("not allowed!", {})])

    loop.run(main)
