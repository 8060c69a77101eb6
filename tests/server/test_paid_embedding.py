"""A paid embedding model for the semantic cache: called over a socket, booked to the layer that asked."""

import asyncio

import aiohttp
import pytest

from hapenny.backends.embedding import ApiEmbedder
from hapenny.config import ConfigError, load
from hapenny.core.messages import Context, Message, Request, Text
from tests.server.house import running, serving
from tests.settling import eventually

FRONT = """
backends:
  bank: {{kind: bedrock, base_url: "{bank}", api_key: simulated, region: us-east-1}}
  compatible: {{kind: openai, base_url: "{bank}/v1", api_key: simulated}}
tiers: {{strong: anthropic.claude-3-sonnet-20240229-v1:0}}
embedders: {{paid: {{model: {model}, backend: {backend}, dim: {dim}}}}}
stages: {{semantic: {{embedder: paid}}}}
routes: {{default: {{baseline: strong, holdout: 0, stages: {{semantic: {mode}, exact: off}}}}}}
ledger: {{path: "{ledger}"}}
"""


async def asked(url, text):
    body = {"model": "strong", "temperature": 0, "messages": [{"role": "user", "content": text}]}
    async with aiohttp.ClientSession() as session, session.post(url + "/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
        return answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("model", "backend", "dim"),
    [
        ("amazon.titan-embed-text-v2:0", "bank", "null"),  # as the catalog knows it
        ("amazon.titan-embed-text-v2:0", "bank", 256),
        ("cohere.embed-english-v3", "bank", 1024),
        ("text-embedding-3-small", "compatible", "null"),
    ],
)
async def test_each_question_is_embedded_once_and_paid_for_by_the_layer(tmp_path, model, backend, dim):
    async with serving(tmp_path) as (bank, behind):
        ledger = tmp_path / "front.db"
        config = load(text=FRONT.format(bank=bank, model=model, backend=backend, dim=dim, mode="on", ledger=ledger))
        provider = behind.gateway.backends["simulated"].provider
        async with running(config) as (url, app):
            id = await asked(url, "When does the bridge open on Saturday?")
            row = await app.gateway.ledger.get(id)
            calls = [call for call in row.calls if call.purpose == "embed"]
            assert [(call.model, call.provenance) for call in calls] == [(model, "reported")]
            assert row.savings["semantic"] == -calls[0].cost < 0
            assert row.actual == provider.bill.nano


class Held(ApiEmbedder):
    """Waits, before it asks, for the test to let it go; remembers what it was asked."""

    gate: asyncio.Event

    async def embed(self, texts, limits):
        self.asked.append(list(texts))
        await self.gate.wait()
        return await super().embed(texts, limits)


@pytest.mark.parametrize(
    ("model", "backend", "dim", "calls"),
    [
        ("text-embedding-3-small", "compatible", "null", [1, 1, 1, 1, 8]),
        ("cohere.embed-english-v3", "bank", 1024, [1, 1, 1, 1, 8]),
        ("amazon.titan-embed-text-v2:0", "bank", 256, [1] * 12),  # takes one text a call
    ],
)
async def test_requests_under_way_share_paid_calls_and_the_books_stay_the_providers(
    tmp_path, model, backend, dim, calls
):
    async with serving(tmp_path) as (bank, behind):
        ledger = tmp_path / "front.db"
        config = load(text=FRONT.format(bank=bank, model=model, backend=backend, dim=dim, mode="on", ledger=ledger))
        async with running(config) as (url, app):
            paid = app.gateway.parts.services.api
            paid.api.__class__, paid.api.asked, paid.api.gate = Held, [], asyncio.Event()
            questions = [f"When does bridge number {number} open on Saturday?" for number in range(12)]
            tasks = [asyncio.create_task(asked(url, question)) for question in questions]
            await eventually(lambda: len(paid.api.asked) + paid.batcher.waiting >= 12)
            paid.api.gate.set()
            rows = [await app.gateway.ledger.get(id) for id in await asyncio.gather(*tasks)]
            assert [len(texts) for texts in paid.api.asked] == calls
            embedded = [call for row in rows for call in row.calls if call.purpose == "embed"]
            assert [call.provenance for call in embedded] == ["reported"] * len(calls)
            assert all(row.outcome == "delivered" for row in rows)
            assert sum(row.actual for row in rows) == behind.gateway.backends["simulated"].provider.bill.nano
            assert sum(row.savings.get("semantic", 0) for row in rows) == -sum(call.cost for call in embedded)


async def test_who_leaves_takes_nobodys_vectors_along(tmp_path):
    async with serving(tmp_path) as (bank, _):
        ledger, model = tmp_path / "front.db", "text-embedding-3-small"
        config = load(
            text=FRONT.format(bank=bank, model=model, backend="compatible", dim="null", mode="on", ledger=ledger)
        )
        async with running(config) as (url, app):
            paid = app.gateway.parts.services.api
            paid.api.__class__, paid.api.asked, paid.api.gate = Held, [], asyncio.Event()
            tasks = [asyncio.create_task(asked(url, f"When does bridge {number} open?")) for number in range(8)]
            await eventually(lambda: len(paid.api.asked) + paid.batcher.waiting >= 8)
            for task in (tasks[0], tasks[4]):  # one whose call is under way, one that waits
                task.cancel()
            paid.api.gate.set()
            left = [task for number, task in enumerate(tasks) if number not in (0, 4)]
            for row in [await app.gateway.ledger.get(id) for id in await asyncio.gather(*left)]:
                assert row.outcome == "delivered"


async def test_an_embedder_that_is_down_takes_no_request_with_it(tmp_path):
    async with serving(tmp_path) as (bank, _):
        ledger = tmp_path / "front.db"
        model = "amazon.titan-embed-text-v9:0"  # which the provider does not know
        config = load(text=FRONT.format(bank=bank, model=model, backend="bank", dim=64, mode="on", ledger=ledger))
        async with running(config) as (url, app):
            row = await app.gateway.ledger.get(await asked(url, "When does the bridge open on Saturday?"))
            assert row.outcome == "delivered"
            assert [(call.purpose, call.outcome) for call in row.calls] == [("embed", "failed"), ("serve", "complete")]
            assert row.actual == row.baseline - row.estimate_error


def test_an_embedder_nobody_knows_is_refused_at_start():
    with pytest.raises(ConfigError, match=r"\$\.stages\.semantic\.embedder: 'titan'"):
        load(text="stages: {semantic: {embedder: titan}}")
    with pytest.raises(ConfigError, match=r"\$\.embedders\.mine\.dim"):
        load(text="embedders: {mine: {model: my-own-model}}")


async def test_a_text_that_cache_and_search_both_want_is_paid_once_by_the_first(tmp_path):
    model = "amazon.titan-embed-text-v2:0"
    async with serving(tmp_path) as (bank, _):
        ledger = tmp_path / "front.db"
        config = load(text=FRONT.format(bank=bank, model=model, backend="bank", dim=256, mode="on", ledger=ledger))
        async with running(config) as (_, app):
            gateway = app.gateway
            request = Request(protocol="openai", model="strong", messages=(Message("user", (Text("When?"),)),))
            exchange = gateway.open(request, Context())
            embed = gateway.parts.services.embed
            [first] = await embed(exchange, ["When?"], technique="semantic")
            again, other = await embed(exchange, ["When?", "Where?"], technique="retrieval")
            assert (again == first).all()
            assert not (other == first).all()
            assert [call.technique for call in exchange.calls] == ["semantic", "retrieval"]
            gateway.close(exchange)
