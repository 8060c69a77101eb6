"""A Bedrock prompt router as a tier and as a rival: routed to, priced by the model it chose, compared."""

import json
from functools import partial

import aiohttp
import anyio.to_thread
import boto3
import pytest

from hapenny.core.events import Started, Stopped, TextDelta, Tokens, Usage
from tests.server.house import Scripted, serving

ARN = "arn:aws:bedrock:us-east-1:123456789012:default-prompt-router/anthropic.claude:1"
CHOSEN = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
TRACE = {"bedrock.usage": {"trace": {"promptRouter": {"invokedModelId": CHOSEN}}}}
EXTRA = f"""
models: {{router: {{id: "{ARN}"}}}}
tiers: {{fast: router, strong: anthropic.claude-3-sonnet-20240229-v1:0}}
"""


def says(extras):
    return Scripted(
        [Started("m", ""), TextDelta("4", 0), Stopped("end_turn"), Usage(Tokens(input=1000, output=1000), extras)]
    )


@pytest.mark.parametrize(("extras", "cost"), [(TRACE, 250_000 + 1_250_000), ({}, None)])
async def test_a_router_is_a_tier_and_costs_what_the_model_it_chose_costs(tmp_path, extras, cost):
    backend = says(extras)
    async with serving(tmp_path, backend, extra=EXTRA) as (url, app), aiohttp.ClientSession() as session:
        body = {"model": "auto", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
        async with session.post(url + "/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
            row = await app.gateway.ledger.get(answer.headers["x-request-id"])
        assert backend.asked[0][1].model == ARN
        assert row.calls[0].cost == cost
        assert row.unpriced == (cost is None)
        assert cost is None or row.savings["tiers"] == row.baseline - cost - row.estimate_error > 0
        assert row.model_served == (CHOSEN if cost else ARN)


EASY, HARD = "Do you ship to Cork?", "Explain step by step why the bridge charged half a penny, and compare two tolls."


async def test_the_simulated_bedrock_routes_and_says_whom_it_chose(tmp_path):
    async with serving(tmp_path, extra=EXTRA) as (url, app):
        client = boto3.client(
            "bedrock-runtime", endpoint_url=url, region_name="us-east-1", aws_access_key_id="A",
            aws_secret_access_key="B",
        )  # fmt: skip
        chosen = []
        for question in (EASY, HARD):
            ask = partial(client.converse, modelId=ARN, messages=[{"role": "user", "content": [{"text": question}]}])
            answer = await anyio.to_thread.run_sync(ask)
            chosen.append(answer["trace"]["promptRouter"]["invokedModelId"])
            row = await app.gateway.ledger.get(answer["ResponseMetadata"]["HTTPHeaders"]["x-request-id"])
            assert not row.unpriced
            assert row.model_served == chosen[-1]
        assert chosen[0] != chosen[1]
        assert all(arn.startswith("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3") for arn in chosen)
        provider = app.gateway.backends["simulated"].provider
        assert provider.bill.nano == sum(line.nano for line in provider.bill.lines) > 0


def test_a_router_is_a_rival_in_compare(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from hapenny.cli import main
    from hapenny.gateway.gateway import Gateway

    real = Gateway.__init__

    def scripted(self, config=None, **rest):
        real(self, config, backends={"simulated": says(TRACE)})

    monkeypatch.setattr(Gateway, "__init__", scripted)
    (tmp_path / "h.yaml").write_text(f"ledger: null\n{EXTRA}")
    rows = [{"prompt": "2 + 2?", "reference": "4"}, {"prompt": "3 + 3?", "reference": "6"}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    wanted = ["compare", "--models", "strong,router", "--prompts", str(tmp_path / "p.jsonl")]
    found = CliRunner().invoke(main.main, [*wanted, "-c", str(tmp_path / "h.yaml"), "--json"])
    lines = {line["model"]: line for line in json.loads(found.output)["models"]}
    assert lines["router"]["cost"] == 0.0015
    assert lines["router"]["quality"] == 0.5
    assert lines["strong"]["cost"] == 0.018
    assert lines["router"]["pareto"]
    assert not lines["strong"]["pareto"]
