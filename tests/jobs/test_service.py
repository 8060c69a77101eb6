"""`/v1/files` and `/v1/batches` through the unmodified OpenAI client."""

import asyncio
import json
import sqlite3

import aiohttp
import openai
import pytest

from hapenny.config import ConfigError, load
from hapenny.gateway.gateway import Gateway
from tests.server.house import CONFIG, SONNET, TEXT, Scripted, failure, serving
from tests.settling import eventually

KEYS = """
keys:
  - {key: key-of-alpha, tenant: alpha}
  - {key: key-of-bravo, tenant: bravo}
"""


def jobs(tmp_path):
    return f"batch: {{journal: '{tmp_path}/jobs', poll_s: 0.05}}\n{KEYS}"


def client(url, key="key-of-alpha"):
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def lines(count=3, model=SONNET):
    return b"".join(
        json.dumps(
            {
                "custom_id": f"r{i}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": model, "messages": [{"role": "user", "content": f"Toll {i}?"}]},
            }
        ).encode()
        + b"\n"
        for i in range(count)
    )


async def handed_in(api, data):
    file = await api.files.create(file=("jobs.jsonl", data), purpose="batch")
    return await api.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"night": "1"}
    )


async def finished(api, id, state="completed"):
    async with asyncio.timeout(20):
        while (batch := await api.batches.retrieve(id)).status != state:
            await asyncio.sleep(0.02)
    return batch


async def output(api, batch):
    text = (await api.files.content(batch.output_file_id)).text
    return {row["custom_id"]: row for row in map(json.loads, text.splitlines())}


async def test_a_batch_is_answered_and_booked(tmp_path):
    async with serving(tmp_path, Scripted(), preset="safe", extra=jobs(tmp_path)) as (url, app):
        api = client(url)
        batch = await finished(api, (await handed_in(api, lines())).id)
        assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (3, 3, 0)
        assert batch.metadata == {"night": "1"}
        rows = await output(api, batch)
        assert list(rows) == ["r0", "r1", "r2"]
        body = rows["r1"]["response"]["body"]
        assert body["choices"][0]["message"]["content"] == "Half a penny."
        assert body["model"] == SONNET
        assert [each.id async for each in api.batches.list()] == [batch.id]
        await app.gateway.ledger.flush()
        with sqlite3.connect(tmp_path / "ledger.db") as books:
            ids = [id for (id,) in books.execute("SELECT id FROM requests")]
        kept = [await app.gateway.ledger.get(id) for id in ids]
        assert len(kept) == 3
        # Each record would have cost the client its price: its row has a baseline, its tenant and its feature.
        assert {(row.tenant, row.feature, row.outcome) for row in kept} == {("alpha", "batch", "delivered")}
        assert all(row.baseline > 0 for row in kept)


async def test_files_are_listed_described_and_deleted(tmp_path):
    async with serving(tmp_path, Scripted(), preset="safe", extra=jobs(tmp_path)) as (url, _):
        api, other = client(url), client(url, "key-of-bravo")
        batch = await finished(api, (await handed_in(api, lines())).id)
        more = await api.files.create(file=("more.jsonl", lines()), purpose="batch")
        assert {each.id async for each in api.files.list()} == {batch.input_file_id, more.id}
        assert [each async for each in other.files.list()] == []
        made = await api.files.retrieve(batch.output_file_id)
        assert made.bytes == len((await api.files.content(batch.output_file_id)).content)
        with pytest.raises(openai.NotFoundError):
            await other.files.delete(more.id)
        with pytest.raises(openai.BadRequestError):
            await api.files.delete(batch.output_file_id)
        assert (await api.files.delete(batch.input_file_id)).deleted
        assert [each.id async for each in api.files.list()] == [more.id]
        assert len(await output(api, batch)) == 3


async def test_records_wait_behind_people(tmp_path):
    backend = Scripted()
    seen = []
    async with serving(tmp_path, backend, preset="safe", extra=jobs(tmp_path)) as (url, app):
        app.gateway.parts.exchanges.observe(lambda exchange, row: seen.append(exchange.context.priority))
        api = client(url)
        await finished(api, (await handed_in(api, lines(2))).id)
        assert seen == [-1, -1]


async def test_other_tenants_see_nothing(tmp_path):
    async with serving(tmp_path, Scripted(), preset="safe", extra=jobs(tmp_path)) as (url, _):
        api, other = client(url), client(url, "key-of-bravo")
        batch = await finished(api, (await handed_in(api, lines())).id)
        for call in (
            other.batches.retrieve(batch.id),
            other.batches.cancel(batch.id),
            other.files.retrieve(batch.input_file_id),
            other.files.content(batch.input_file_id),
            other.files.content(batch.output_file_id),
        ):
            with pytest.raises(openai.NotFoundError):
                await call
        assert [each async for each in other.batches.list()] == []
        with pytest.raises(openai.AuthenticationError):
            await client(url, "nobody").batches.list()


async def test_wrong_input_is_refused_with_its_line(tmp_path):
    async with serving(tmp_path, Scripted(), preset="safe", extra=jobs(tmp_path)) as (url, _):
        api = client(url)
        with pytest.raises(openai.BadRequestError, match="line 3"):
            await handed_in(api, lines(2) + b"{}\n")
        with pytest.raises(openai.BadRequestError, match="batch"):
            await api.files.create(file=("x", b"1"), purpose="fine-tune")
        file = await api.files.create(file=("x", lines()), purpose="batch")
        with pytest.raises(openai.BadRequestError, match="embeddings"):
            await api.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer key-of-alpha"}) as http:
            async with http.post(f"{url}/v1/files", data=b"no form") as answer:
                assert answer.status == 400
            async with http.post(f"{url}/v1/batches", data=b"[]") as answer:
                assert answer.status == 400


async def test_a_record_for_no_model_fails_alone(tmp_path):
    async with serving(tmp_path, Scripted(failure=failure("invalid_request")), extra=jobs(tmp_path)) as (url, _):
        api = client(url)
        batch = await finished(api, (await handed_in(api, lines(2))).id)
        assert (batch.request_counts.completed, batch.request_counts.failed) == (0, 2)
        errors = (await api.files.content(batch.error_file_id)).text
        assert errors.count('"failed"') == 2


async def test_a_stopped_server_goes_on_where_it_was(tmp_path):
    slow = Scripted(pause=30)
    async with serving(tmp_path, slow, preset="safe", extra=jobs(tmp_path)) as (url, _):
        id = (await handed_in(client(url), lines())).id
        await eventually(lambda: slow.asked, 10)
    async with serving(tmp_path, Scripted(), preset="safe", extra=jobs(tmp_path)) as (url, _):
        api = client(url)
        batch = await finished(api, id)
        assert batch.request_counts.completed == 3


async def test_cancelling_stops_what_has_not_begun(tmp_path):
    slow = Scripted(pause=30)
    async with serving(tmp_path, slow, preset="safe", extra=jobs(tmp_path)) as (url, _):
        api = client(url)
        id = (await handed_in(api, lines(40))).id
        await eventually(lambda: slow.asked, 10)
        await api.batches.cancel(id)
        batch = await finished(api, id, "cancelled")
        assert batch.request_counts.completed == 0
        assert slow.open == 0


async def test_a_reload_keeps_batches_going(tmp_path):
    first, second = Scripted(pause=0.05), Scripted([*TEXT])
    async with serving(tmp_path, first, preset="safe", extra=jobs(tmp_path)) as (url, app):
        api = client(url)
        id = (await handed_in(api, lines(40))).id
        await eventually(lambda: first.asked, 10)
        await app.swap(Gateway(app.gateway.config, backends={"simulated": second}, previous=app.gateway))
        batch = await finished(api, id)
        assert batch.request_counts.completed == 40
        assert second.asked


async def test_a_journal_is_of_one_process(tmp_path):
    async with serving(tmp_path, Scripted(), extra=jobs(tmp_path)):
        with pytest.raises(ConfigError, match=r"batch\.journal.*in use"):
            async with serving(tmp_path, Scripted(), extra=jobs(tmp_path)):
                pass


def test_a_journal_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "jobs").write_text("")
    with pytest.raises(ConfigError, match=r"\$\.batch\.journal: .*is no folder"):
        load(text=CONFIG % ("safe", tmp_path / "ledger.db", jobs(tmp_path)))
