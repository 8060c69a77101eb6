"""A configured reranker orders unclear results, its cost is in the books, and its silence changes nothing."""

import asyncio
import sqlite3

import aiohttp
import pytest
from aiohttp import web

from hapenny.config import ConfigError, load
from tests.backends.servers import serving as upstream
from tests.server.house import Scripted, serving
from tests.server.test_retrieving import indexed

EXTRA = """
collections: {bridge: {path: "%s", remote: {margin: 1.0, seconds: %s}}}
rerankers: {judge: {kind: server, model: rerank-v3.5, base_url: "%s/v2", api_key: k}}
stages: {retrieval: {collection: bridge, remote: true, rerank_model: judge, seconds: 2}, semantic: {embedder: hashed}}
"""
QUESTION = "What does crossing the bridge cost?"


def calls(tmp_path):
    with sqlite3.connect(tmp_path / "ledger.db") as ledger:
        return ledger.execute("SELECT purpose, technique, model, outcome, cost FROM calls").fetchall()


async def test_a_reranker_orders_the_results_and_is_paid(tmp_path):
    indexed(tmp_path / "bridge", tmp_path / "notes")

    async def lamps_first(request: web.Request) -> web.StreamResponse:
        texts = (await request.json())["documents"]
        results = [{"index": i, "relevance_score": float("lamps" in text)} for i, text in enumerate(texts)]
        return web.json_response({"results": results, "meta": {"billed_units": {"search_units": 1}}})

    async with upstream(lamps_first) as base:
        extra = EXTRA % (tmp_path / "bridge", 1.0, base)
        preset = "demo, stages: {retrieval: 'on'}"
        async with (
            serving(tmp_path, Scripted(), preset=preset, extra=extra) as (url, app),
            aiohttp.ClientSession() as session,
        ):
            async with session.post(url + "/v1/retrieve", json={"query": QUESTION}) as answer:
                found = await answer.json()
            body = {"model": "strong", "messages": [{"role": "user", "content": QUESTION}]}
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                assert answer.status == 200
            sent = app.gateway.backends["simulated"].asked[-1][0].messages[-1].text
    assert found["reranked"]
    assert "lamps" in found["data"][0]["text"]
    assert sent.index("lamps") < sent.index("half a penny")
    reranked = [row for row in calls(tmp_path) if row[0] == "rerank"]
    # Two calls of one query each, at two dollars a thousand.
    assert reranked == [("rerank", "retrieval", "rerank-v3.5", "complete", 2_000_000)] * 2


async def test_a_silent_reranker_leaves_the_fused_order(tmp_path):
    indexed(tmp_path / "bridge", tmp_path / "notes")

    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.json_response({})

    async with upstream(silent) as base:
        extra = EXTRA % (tmp_path / "bridge", 0.05, base)
        async with (
            serving(tmp_path, Scripted(), extra=extra) as (url, _),
            aiohttp.ClientSession() as session,
            session.post(url + "/v1/retrieve", json={"query": QUESTION}) as answer,
        ):
            found = await answer.json()
    assert not found["reranked"]
    assert "half a penny" in found["data"][0]["text"]
    assert [row[3] for row in calls(tmp_path)] == ["abandoned"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("rerankers: {a: {kind: tei, model: m}}", "rerankers.a.base_url"),
        ("rerankers: {a: {kind: bedrock, model: m, api_key: secret}}", "rerankers.a.api_key"),
        ("stages: {retrieval: {rerank_model: b}}", "stages.retrieval.rerank_model"),
        ("rerankers: {a: {kind: other, model: m}}", "rerankers"),
    ],
)
def test_a_reranker_that_cannot_work_is_refused_at_start(text, field):
    with pytest.raises(ConfigError, match=field):
        load(text=text)
