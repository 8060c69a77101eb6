"""A paid embedding model for the semantic cache: called over a socket, booked to the layer that asked."""

import aiohttp
import pytest

from hapenny.config import ConfigError, load
from tests.server.house import running, serving

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
