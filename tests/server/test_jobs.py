"""Batch jobs of the simulated Bedrock, by unmodified boto3 clients over sockets."""

import asyncio
import contextlib
import json

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from hapenny.catalog import default, price
from hapenny.cli.simulate import provider
from hapenny.core.events import Tokens

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
ROLE = "arn:aws:iam::111122223333:role/batch"


@contextlib.asynccontextmanager
async def simulated(folder, **jobs):
    jobs = {"records_per_s": 5_000.0, "delay_s": 0.3, "least": 10, "stop_s": 0.1} | jobs
    app, backend = provider("current-2026", folder=folder, **jobs)
    await app.gateway.start()
    port = await app.start(port=0)
    try:
        yield f"http://127.0.0.1:{port}", backend
    finally:
        await app.stop()


def clients(url):
    common = {
        "region_name": "us-east-1",
        "aws_access_key_id": "x",
        "aws_secret_access_key": "y",
        "config": Config(retries={"total_max_attempts": 1}),
    }
    return (
        boto3.client("bedrock", endpoint_url=url, **common),
        boto3.client("s3", endpoint_url=f"{url}/s3", **common),
    )


def converse(count):
    return [
        {
            "recordId": f"R{n:010d}",
            "modelInput": {
                "messages": [{"role": "user", "content": [{"text": f"Where is order {n}?"}]}],
                "inferenceConfig": {"maxTokens": 40},
            },
        }
        for n in range(count)
    ]


def invoke(count):
    return [
        {
            "recordId": f"R{n:010d}",
            "modelInput": {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 40,
                "messages": [{"role": "user", "content": f"Where is order {n}?"}],
            },
        }
        for n in range(count)
    ]


def job(name="night-1", form="Converse", **more):
    return {
        "jobName": name,
        "roleArn": ROLE,
        "modelId": HAIKU,
        "modelInvocationType": form,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://in/night/input.jsonl", "s3InputFormat": "JSONL"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://out/night/"}},
        **more,
    }


def lines(rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


async def off(call, *args, **kwargs):
    return await asyncio.get_running_loop().run_in_executor(None, lambda: call(*args, **kwargs))


async def ended(bedrock, arn):
    seen = []
    async with asyncio.timeout(20):
        while True:
            found = await off(bedrock.get_model_invocation_job, jobIdentifier=arn)
            if found["status"] not in seen:
                seen.append(found["status"])
            if "endTime" in found:
                return found, seen
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("form", "rows"), [("Converse", converse(30)), ("InvokeModel", invoke(30))])
async def test_a_job_from_upload_to_manifest(tmp_path, form, rows):
    async with simulated(tmp_path) as (url, backend):
        bedrock, s3 = clients(url)
        await off(s3.put_object, Bucket="in", Key="night/input.jsonl", Body=lines(rows))
        arn = (await off(bedrock.create_model_invocation_job, **job(form=form)))["jobArn"]
        found, seen = await ended(bedrock, arn)
        assert seen[-1] == "Completed"
        assert "Validating" in seen
        assert (found["totalRecordCount"], found["successRecordCount"], found["errorRecordCount"]) == (30, 30, 0)
        listed = await off(s3.list_objects_v2, Bucket="out", Prefix="night/")
        keys = {item["Key"].rsplit("/", 1)[-1]: item["Key"] for item in listed["Contents"]}
        assert set(keys) == {"input.jsonl.out", "manifest.json.out"}
        assert arn.rsplit("/", 1)[-1] in keys["manifest.json.out"]
        body = (await off(s3.get_object, Bucket="out", Key=keys["input.jsonl.out"]))["Body"].read()
        out = {row["recordId"]: row for row in map(json.loads, body.splitlines())}
        assert set(out) == {row["recordId"] for row in rows}
        assert out["R0000000003"]["modelInput"] == rows[3]["modelInput"]
        answer = out["R0000000003"]["modelOutput"]
        text = answer["output"]["message"]["content"] if form == "Converse" else answer["content"]
        assert text[0]["text"]
        manifest = (await off(s3.get_object, Bucket="out", Key=keys["manifest.json.out"]))["Body"].read()
        counted = json.loads(manifest)
        # The simulator's own bill is the list price of batch, half of on demand.
        tokens = Tokens(input=counted["inputTokenCount"], output=counted["outputTokenCount"])
        card = default().resolve(HAIKU)
        whole = price(card, tokens, region_class="geo:us")
        assert backend.provider.bill.calls == 30
        assert float(backend.provider.bill.total) * 1e9 == pytest.approx(whole / 2, rel=1e-6)


async def test_records_that_cannot_be_answered_leave_the_job_partial(tmp_path):
    rows = converse(20)
    rows[4]["modelInput"] = {"messages": "none"}
    del rows[7]["modelInput"]
    async with simulated(tmp_path) as (url, backend):
        bedrock, s3 = clients(url)
        await off(s3.put_object, Bucket="in", Key="night/input.jsonl", Body=lines(rows))
        found, _ = await ended(bedrock, (await off(bedrock.create_model_invocation_job, **job()))["jobArn"])
        assert found["status"] == "PartiallyCompleted"
        assert (found["successRecordCount"], found["errorRecordCount"]) == (18, 2)
        assert backend.provider.bill.calls == 18
        (key,) = [
            item["Key"]
            for item in (await off(s3.list_objects_v2, Bucket="out"))["Contents"]
            if item["Key"].endswith(".jsonl.out")
        ]
        body = (await off(s3.get_object, Bucket="out", Key=key))["Body"].read()
        wrong = {r["recordId"]: r["error"] for r in map(json.loads, body.splitlines()) if "error" in r}
        assert set(wrong) == {"R0000000004", "R0000000007"}
        assert all(error["errorCode"] == 400 and error["errorMessage"] for error in wrong.values())


async def test_too_few_records_fail_when_they_are_validated(tmp_path):
    async with simulated(tmp_path) as (url, backend):
        bedrock, s3 = clients(url)
        await off(s3.put_object, Bucket="in", Key="night/input.jsonl", Body=lines(converse(9)))
        found, _ = await ended(bedrock, (await off(bedrock.create_model_invocation_job, **job()))["jobArn"])
        assert found["status"] == "Failed"
        assert "required minimum of: 10" in found["message"]
        assert backend.provider.bill.calls == 0


async def test_stopping_keeps_what_was_processed(tmp_path):
    async with simulated(tmp_path, records_per_s=20.0, delay_s=0.1) as (url, backend):
        bedrock, s3 = clients(url)
        await off(s3.put_object, Bucket="in", Key="night/input.jsonl", Body=lines(converse(200)))
        arn = (await off(bedrock.create_model_invocation_job, **job()))["jobArn"]
        async with asyncio.timeout(10):
            while (await off(bedrock.get_model_invocation_job, jobIdentifier=arn)).get("processedRecordCount", 0) < 4:
                await asyncio.sleep(0.02)
        await off(bedrock.stop_model_invocation_job, jobIdentifier=arn)
        found, seen = await ended(bedrock, arn)
        assert seen[-1] == "Stopped"
        assert 4 <= found["processedRecordCount"] < 200
        assert backend.provider.bill.calls == found["processedRecordCount"]
        with pytest.raises(ClientError, match="ConflictException"):
            await off(bedrock.stop_model_invocation_job, jobIdentifier=arn)


async def test_listing_pages_and_filters(tmp_path):
    async with simulated(tmp_path, records_per_s=1.0) as (url, _):
        bedrock, s3 = clients(url)
        await off(s3.put_object, Bucket="in", Key="night/input.jsonl", Body=lines(converse(12)))
        arns = [
            (await off(bedrock.create_model_invocation_job, **job(f"night-{n}", clientRequestToken=f"t{n}")))["jobArn"]
            for n in range(5)
        ]
        again = await off(bedrock.create_model_invocation_job, **job("night-2", clientRequestToken="t2"))
        assert again["jobArn"] == arns[2]
        pages = bedrock.get_paginator("list_model_invocation_jobs").paginate(PaginationConfig={"PageSize": 2})
        found = await off(lambda: [each for page in pages for each in page["invocationJobSummaries"]])
        names = [each["jobName"] for each in found]
        assert sorted(names) == [f"night-{n}" for n in range(5)]
        one = await off(bedrock.list_model_invocation_jobs, nameContains="-3")
        assert [each["jobArn"] for each in one["invocationJobSummaries"]] == [arns[3]]
        assert (await off(bedrock.list_model_invocation_jobs, statusEquals="Completed"))["invocationJobSummaries"] == []


async def test_what_is_wrong_is_said_in_the_services_words(tmp_path):
    async with simulated(tmp_path) as (url, _):
        bedrock, s3 = clients(url)
        for wrong, said in (
            (job(), "holds no input"),
            (job(roleArn="arn:aws:iam::1:user/x" + "y" * 20), "role"),
            (
                job(timeoutDurationInHours=24, modelInvocationType="Converse", jobName="ok") | {"jobName": "-"},
                "jobName",
            ),
        ):
            with pytest.raises(ClientError, match=said) as raised:
                await off(bedrock.create_model_invocation_job, **wrong)
            assert raised.value.response["Error"]["Code"] == "ValidationException"
        with pytest.raises(bedrock.exceptions.ResourceNotFoundException):
            await off(bedrock.get_model_invocation_job, jobIdentifier="abcdefabcdef")
        with pytest.raises(s3.exceptions.NoSuchKey):
            await off(s3.get_object, Bucket="in", Key="missing")


async def test_nothing_leads_out_of_the_folder(tmp_path):
    (tmp_path / "secret").write_text("no")
    async with simulated(tmp_path / "house") as (url, _), aiohttp.ClientSession() as http:
        for path in ("/s3/b/%2e%2e/%2e%2e/secret", "/s3/%2e%2e/%2e%2e/secret"):
            async with http.get(aiohttp.client.URL(url + path, encoded=True)) as answer:
                assert answer.status == 400
                assert await answer.read() != b"no"


async def test_embeddings_are_answered(tmp_path):
    model = "amazon.titan-embed-text-v2:0"
    rows = [{"recordId": f"R{n:010d}", "modelInput": {"inputText": f"text {n}"}} for n in range(12)]
    async with simulated(tmp_path) as (url, _):
        bedrock, s3 = clients(url)
        await off(s3.put_object, Bucket="in", Key="night/input.jsonl", Body=lines(rows))
        asked = job(form="InvokeModel") | {"modelId": model}
        found, _ = await ended(bedrock, (await off(bedrock.create_model_invocation_job, **asked))["jobArn"])
        assert found["successRecordCount"] == 12
        runtime = boto3.client(
            "bedrock-runtime",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="y",
        )
        direct = await off(runtime.invoke_model, modelId=model, body=json.dumps(rows[3]["modelInput"]))
        assert len(json.loads(direct["body"].read())["embedding"]) == 1024
