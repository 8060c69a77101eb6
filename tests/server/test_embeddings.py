# ruff: noqa: E501, SIM117
"""`/v1/embeddings` for OpenAI's clients, whatever makes the vectors."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
from urllib.parse import unquote

import aiohttp
import numpy as np
import openai
import pytest
from aiohttp import web

from hapenny.config import load
from tests.backends.servers import serving as listening
from tests.server.house import running, serving
from tests.server.test_responses import client, row_of

TITAN, COHERE, COHERE3, NOVA = (
    "amazon.titan-embed-text-v2:0",
    "cohere.embed-v4:0",
    "cohere.embed-english-v3",
    "amazon.nova-2-multimodal-embeddings-v1:0",
)
FRONT = """
backends: {{aws: {{kind: bedrock, base_url: "{base}", api_key: b, region: us-east-1}}}}
tiers: {{fast: anthropic.claude-3-haiku-20240307-v1:0, strong: anthropic.claude-3-haiku-20240307-v1:0}}
ledger: {{path: "{ledger}"}}
"""
OPENAI = """
backends: {{up: {{kind: openai, base_url: "{base}/v1", api_key: o}}, claude: {{kind: anthropic, base_url: "{base}", api_key: a}}}}
default_backend: claude
models: {{mine: {{id: up-embed, backend: up}}, wrong: {{id: claude-sonnet-4-5, backend: claude}}}}
tiers: {{fast: claude-sonnet-4-5, strong: claude-sonnet-4-5}}
ledger: {{path: "{ledger}"}}
{extra}
"""


@contextlib.asynccontextmanager
async def upstream():
    """(URL, bodies): Bedrock's embedding models and an OpenAI-compatible server. Each vector tells the text's length."""
    seen = []

    async def answer(request):
        body = await request.json()
        seen.append((unquote(request.path), body))
        if request.path == "/v1/embeddings":
            rows = [[0.1, len(each)] for each in body["input"]]
            if body.get("encoding_format") == "base64":
                rows = [base64.b64encode(struct.pack("<2f", *row)).decode() for row in rows]
            data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
            usage = {"prompt_tokens": 10, "total_tokens": 10}
            return web.json_response({"object": "list", "model": "up", "data": data, "usage": usage, "novel": 1})
        if "titan" in request.path:
            text = body["inputText"]
            if text == "boom":
                return web.json_response({"message": "slow down"}, status=429)
            return web.json_response({"embedding": [0.1, len(text)], "inputTextTokenCount": len(text)})
        if "nova" in request.path:
            text = body["singleEmbeddingParams"]["text"]["value"]
            return web.json_response(
                {"embeddings": [{"embeddingType": "TEXT", "embedding": [0.1, len(text)]}]},
                headers={"x-amzn-bedrock-input-token-count": "3"},
            )
        rows = [[0.1, len(text)] for text in body["texts"]]
        return web.json_response({"embeddings": {"float": rows}}, headers={"x-amzn-bedrock-input-token-count": "7"})

    async with listening(answer) as base:
        yield base, seen


@pytest.fixture
async def bedrock(tmp_path):
    """(client, what Bedrock got, app)."""
    async with upstream() as (base, seen):
        async with (
            running(load(text=FRONT.format(base=base, ledger=tmp_path / "l.db"))) as (url, app),
            client(url) as ask,
        ):
            yield ask, seen, app


@pytest.fixture
async def compatible(tmp_path):
    """(client, what the server got, URL)."""
    async with upstream() as (base, seen):
        text = OPENAI.format(base=base, ledger=tmp_path / "l.db", extra="")
        async with running(load(text=text)) as (url, _), client(url) as ask:
            yield ask, seen, url


class TestBedrock:
    @pytest.mark.parametrize("model", [TITAN, COHERE, COHERE3, NOVA, "us.cohere.embed-v4:0"])
    async def test_the_sdk_gets_a_vector_a_text_in_order(self, bedrock, model):
        ask, seen, _ = bedrock
        done = await ask.embeddings.create(model=model, input=["a", "bb", "ccc"])
        assert [each.embedding for each in done.data] == [pytest.approx([0.1, n]) for n in (1, 2, 3)]
        assert [each.index for each in done.data] == [0, 1, 2]
        assert done.usage.prompt_tokens == {TITAN: 6, NOVA: 9}.get(model, 7)
        assert len(seen) == (3 if model in (TITAN, NOVA) else 1)

    @pytest.mark.parametrize(
        ("model", "said"),
        [
            (TITAN, {"inputText": "x", "dimensions": 256, "normalize": True}),
            (COHERE, {"texts": ["x"], "output_dimension": 256}),
            (NOVA, {"taskType": "SINGLE_EMBEDDING"}),
        ],
    )
    async def test_dimensions_in_each_models_words(self, bedrock, model, said):
        ask, seen, _ = bedrock
        await ask.embeddings.create(model=model, input="x", dimensions=256)
        body = seen[0][1]
        assert said.items() <= body.items()
        if model == NOVA:
            assert body["singleEmbeddingParams"]["embeddingDimension"] == 256

    async def test_what_a_model_cannot_be_asked_is_refused_with_the_fix(self, bedrock):
        ask, seen, _ = bedrock
        for fields, param in (({"input": [1, 2]}, "input"), ({"input": "x", "dimensions": 256}, "dimensions")):
            with pytest.raises(openai.BadRequestError) as refused:
                await ask.embeddings.create(model=COHERE3, **fields)
            assert refused.value.param == param
        assert seen == []

    async def test_equal_texts_are_paid_once_and_the_row_says_what_that_saved(self, bedrock):
        ask, seen, app = bedrock
        first = await ask.embeddings.create(model=TITAN, input=["a" * 400, "b" * 400])
        raw = await ask.embeddings.with_raw_response.create(model=TITAN, input=["b" * 400, "c" * 400, "a" * 400])
        again = raw.parse()
        assert len(seen) == 3
        assert again.data[2].embedding == first.data[0].embedding
        assert again.usage.prompt_tokens == 1_200
        row = await row_of(app, raw.headers["x-request-id"])
        assert row.actual == 400 * 20  # $.02 a million tokens
        assert row.savings["exact"] > 0
        assert row.baseline - sum(row.savings.values()) - row.estimate_error == row.actual
        raw = await ask.embeddings.with_raw_response.create(model=TITAN, input="a" * 400)
        assert "hit" in raw.headers["cache-status"]
        row = await row_of(app, raw.headers["x-request-id"])
        assert (row.actual, len(row.calls)) == (0, 0)
        assert row.savings["exact"] == row.baseline > 0
        assert app.gateway.books.violations == 0

    async def test_nobody_elses_cache_and_none_where_it_is_not_wanted(self, bedrock):
        ask, seen, _ = bedrock
        for _ in range(2):
            await ask.embeddings.create(model=TITAN, input="x", extra_headers={"cache-control": "no-store"})
        assert len(seen) == 2
        await ask.embeddings.create(model=TITAN, input="x", dimensions=256)
        assert len(seen) == 3

    async def test_the_providers_refusal_is_openais_error(self, bedrock):
        ask, _, app = bedrock
        with pytest.raises(openai.RateLimitError):
            await ask.embeddings.create(model=TITAN, input=["fine", "boom"])
        assert app.gateway.books.violations == 0


class TestCompatible:
    async def test_floats_keep_their_digits_and_further_fields_go_both_ways(self, compatible):
        _, seen, url = compatible
        body = {"model": "mine", "input": "x", "truncate": "END", "user": "u"}
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.post(url + "/v1/embeddings", json=body) as answer:
                    text = await answer.text()
                    assert '"embedding":[0.1,1.0]' in text
                    assert json.loads(text)["model"] in ("up", "up-embed")
            assert seen == [("/v1/embeddings", {"model": "up-embed", "input": ["x"], "truncate": "END", "user": "u"})]

    async def test_base64_and_token_arrays(self, compatible):
        ask, seen, _ = compatible
        done = await ask.embeddings.create(model="mine", input=[[1, 2], [3, 4, 5]])
        assert [each.embedding for each in done.data] == [pytest.approx([0.1, n], rel=1e-6) for n in (2, 3)]
        assert seen[0][1] == {"model": "up-embed", "input": [[1, 2], [3, 4, 5]], "encoding_format": "base64"}
        assert done.usage.prompt_tokens == 10

    async def test_numbers_of_any_size_are_no_trouble(self, compatible):
        ask, seen, _ = compatible
        await ask.embeddings.create(model="mine", input=[[10**30]], extra_body={"novel": 10**30})
        assert seen[0][1]["novel"] == 10**30

    async def test_a_backend_without_vectors_is_passed_by_or_named(self, compatible):
        ask, seen, _ = compatible
        await ask.embeddings.create(model="text-embedding-3-small", input="x")
        assert seen[0][1]["model"] == "text-embedding-3-small"
        with pytest.raises(openai.BadRequestError, match="no vectors"):
            await ask.embeddings.create(model="wrong", input="x")

    @pytest.mark.parametrize(
        "body",
        [
            {"input": "x"}, {"model": "mine"}, {"model": "mine", "input": []}, {"model": "mine", "input": ""},
            {"model": "mine", "input": ["a", ""]}, {"model": "mine", "input": ["a", 1]}, {"model": "mine", "input": 5},
            {"model": "mine", "input": [[]]}, {"model": "mine", "input": [[1, "a"]]},
            {"model": "mine", "input": "x", "encoding_format": "hex"}, {"model": "mine", "input": "x", "dimensions": 0},
        ],
    )  # fmt: skip
    async def test_wrong_bodies_name_their_field(self, compatible, body):
        _, seen, url = compatible
        async with aiohttp.ClientSession() as session, session.post(url + "/v1/embeddings", json=body) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["param"]
        assert seen == []

    async def test_a_key_for_other_models_embeds_with_none(self, tmp_path):
        async with upstream() as (base, seen):
            keys = "keys: [{key: key-of-limited, tenant: t, models: [mine]}]"
            text = OPENAI.format(base=base, ledger=tmp_path / "l.db", extra=keys)
            async with running(load(text=text)) as (url, _), client(url, "key-of-limited") as ask:
                await ask.embeddings.create(model="mine", input="x")
                with pytest.raises(openai.PermissionDeniedError):
                    await ask.embeddings.create(model="text-embedding-3-small", input="x")
        assert len(seen) == 1


@pytest.mark.parametrize("model", ["text-embedding-3-small", TITAN, COHERE, NOVA])
async def test_the_simulated_models_embed(tmp_path, model):
    async with serving(tmp_path) as (url, app), client(url) as ask:
        done = await ask.embeddings.create(model=model, input=["one", "two"], dimensions=256)
        assert [len(each.embedding) for each in done.data] == [256, 256]
        assert np.linalg.norm(done.data[0].embedding) == pytest.approx(1, abs=1e-5)
        assert done.usage.prompt_tokens > 0
        assert app.gateway.backends["simulated"].provider.bill.nano > 0


async def test_a_model_that_is_no_embedder_says_so(tmp_path):
    async with serving(tmp_path) as (url, _), client(url) as ask:
        with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
            await ask.embeddings.create(model="anthropic.claude-3-sonnet-20240229-v1:0", input="x")
