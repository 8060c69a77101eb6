"""`/v1/messages/batches` through the unmodified Anthropic client."""

from __future__ import annotations

import asyncio
import json
import sqlite3

import anthropic
import pytest

from tests.server.house import Scripted, failure, serving

KEYS = "keys: [{key: key-of-alpha, tenant: alpha}, {key: key-of-beta, tenant: beta, models: [fast]}]"


def batching(tmp_path, more=""):
    return f"batch: {{journal: '{tmp_path}/jobs', poll_s: 0.05}}\n{KEYS}\n{more}"


def client(url, key="key-of-alpha"):
    return anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0)


def ask(id, text="What is a halfpenny bridge?", **more):
    return {
        "custom_id": id,
        "params": {"model": "strong", "max_tokens": 20, "messages": [{"role": "user", "content": text}], **more},
    }


async def ended(api, id):
    async with asyncio.timeout(20):
        while (batch := await api.messages.batches.retrieve(id)).processing_status != "ended":
            await asyncio.sleep(0.02)
    return batch


async def lines(api, id):
    return {line.custom_id: line.result async for line in await api.messages.batches.results(id)}


async def test_a_batch_is_answered_and_booked(tmp_path):
    async with serving(tmp_path, extra=batching(tmp_path)) as (url, app), client(url) as api:
        made = await api.messages.batches.create(requests=[ask("a"), ask("b"), ask("c")])
        assert made.id.startswith("msgbatch_")
        assert (made.type, made.request_counts.processing) == ("message_batch", 3)
        batch = await ended(api, made.id)
        assert (batch.request_counts.succeeded, batch.request_counts.processing) == (3, 0)
        assert batch.ended_at >= batch.created_at
        results = await lines(api, made.id)
        assert list(results) == ["a", "b", "c"]
        assert results["a"].type == "succeeded"
        assert results["a"].message.content[0].text
        assert results["a"].message.usage.output_tokens > 0
        await app.gateway.ledger.flush()
        with sqlite3.connect(tmp_path / "ledger.db") as books:
            ids = [id for (id,) in books.execute("SELECT id FROM requests")]
        rows = [await app.gateway.ledger.get(id) for id in ids]
        assert {(row.tenant, row.feature, row.protocol, row.outcome) for row in rows} == {
            ("alpha", "batch", "anthropic", "delivered")
        }
        assert len(rows) == 3


async def test_what_fails_fails_for_itself(tmp_path):
    backend = Scripted(failure=failure("invalid_request", field="messages", retryable=False))
    async with serving(tmp_path, backend, extra=batching(tmp_path)) as (url, _), client(url) as api:
        made = await api.messages.batches.create(requests=[ask("a"), ask("b", max_tokens="many")])
        batch = await ended(api, made.id)
        assert batch.request_counts.errored == 2
        results = await lines(api, made.id)
        assert results["b"].error.error.type == "invalid_request_error"
        assert "max_tokens" in results["b"].error.error.message


async def test_others_have_no_part_in_it(tmp_path):
    async with serving(tmp_path, extra=batching(tmp_path)) as (url, _), client(url) as api:
        made = await api.messages.batches.create(requests=[ask("a")])
        await ended(api, made.id)
        async with client(url, "key-of-beta") as other:
            batches = other.messages.batches
            for call in (batches.retrieve, batches.cancel, batches.delete, batches.results):
                with pytest.raises(anthropic.NotFoundError):
                    await call(made.id)
            assert (await batches.list()).data == []
            with pytest.raises(anthropic.PermissionDeniedError):
                await batches.create(requests=[ask("a")])
        async with client(url, "nobody") as stranger:
            with pytest.raises(anthropic.AuthenticationError):
                await stranger.messages.batches.list()


async def test_a_batch_can_be_cancelled_and_then_deleted(tmp_path):
    backend = Scripted(pause=0.2)
    async with serving(tmp_path, backend, extra=batching(tmp_path)) as (url, _), client(url) as api:
        made = await api.messages.batches.create(requests=[ask(f"r{n}", f"question {n}") for n in range(40)])
        with pytest.raises(anthropic.BadRequestError, match="under way"):
            await api.messages.batches.delete(made.id)
        with pytest.raises((anthropic.NotFoundError, anthropic.AnthropicError)):
            await api.messages.batches.results(made.id)
        cancelled = await api.messages.batches.cancel(made.id)
        assert cancelled.cancel_initiated_at is not None
        batch = await ended(api, made.id)
        assert batch.request_counts.canceled > 0
        assert batch.request_counts.canceled + batch.request_counts.succeeded == 40
        kinds = {result.type for result in (await lines(api, made.id)).values()}
        assert "canceled" in kinds
        assert (await api.messages.batches.delete(made.id)).type == "message_batch_deleted"
        with pytest.raises(anthropic.NotFoundError):
            await api.messages.batches.retrieve(made.id)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "jobs").rglob("*") if path.is_file())
    assert b"question 1" not in kept


async def test_batches_are_listed_by_pages_and_outlive_the_process(tmp_path):
    async with serving(tmp_path, extra=batching(tmp_path)) as (url, _), client(url) as api:
        ids = [(await api.messages.batches.create(requests=[ask("a", f"q{n}")])).id for n in range(3)]
        for id in ids:
            await ended(api, id)
        page = await api.messages.batches.list(limit=2)
        assert ([each.id for each in page.data], page.has_more) == ([ids[2], ids[1]], True)
        page = await api.messages.batches.list(limit=2, after_id=ids[1])
        assert ([each.id for each in page.data], page.has_more) == ([ids[0]], False)
        page = await api.messages.batches.list(limit=1, before_id=ids[0])
        assert ([each.id for each in page.data], page.has_more) == ([ids[1]], True)
        assert [each.id async for each in api.messages.batches.list(limit=1)] == ids[::-1]
        await api.messages.batches.delete(ids[0])
    async with serving(tmp_path, extra=batching(tmp_path)) as (url, _), client(url) as api:
        assert [each.id async for each in api.messages.batches.list()] == ids[:0:-1]
        assert (await lines(api, ids[2]))["a"].type == "succeeded"


@pytest.mark.parametrize(
    ("requests", "param"),
    [
        ([], "requests"), ([ask("a"), ask("a")], "requests.1.custom_id"), ([ask("a b")], "requests.0.custom_id"),
        ([{"custom_id": "a"}], "requests.0.params"), ([ask("a", stream=True)], "requests.0.params.stream"),
        ([5], "requests.0.custom_id"),
    ],
)  # fmt: skip
async def test_what_is_no_batch_names_its_fault(tmp_path, requests, param):
    async with serving(tmp_path, extra=batching(tmp_path)) as (url, _), client(url) as api:
        with pytest.raises(anthropic.BadRequestError) as refused:
            await api.messages.batches.create(requests=requests)
        assert param in json.dumps(refused.value.body)


async def test_an_idempotency_key_makes_one_batch(tmp_path):
    async with serving(tmp_path, extra=batching(tmp_path)) as (url, _), client(url) as api:
        headers = {"idempotency-key": "night-1"}
        first = await api.messages.batches.create(requests=[ask("a")], extra_headers=headers)
        again = await api.messages.batches.create(requests=[ask("a")], extra_headers=headers)
        assert first.id == again.id
