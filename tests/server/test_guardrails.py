"""ApplyGuardrail and CountTokens by the unmodified boto3 client."""

from __future__ import annotations

import aiohttp
import anyio.to_thread

from hapenny.config import load
from tests.server.house import SONNET, running, serving
from tests.server.test_passing import WIRED, bedrock, settled

ASKED = {
    "guardrailIdentifier": "arn:aws:bedrock:us-east-1:111122223333:guardrail/abc123", "guardrailVersion": "DRAFT",
    "source": "INPUT", "content": [{"text": {"text": "x" * 1_500}}],
}  # fmt: skip


async def test_a_guardrail_is_applied_by_the_bedrock_backend(tmp_path):
    async with serving(tmp_path) as (bank, _):
        config = load(text=WIRED.format(bank=bank, ledger=tmp_path / "front.db"))
        async with running(config) as (url, app):
            client = bedrock(url)
            for _ in range(2):
                answer = await anyio.to_thread.run_sync(lambda: client.apply_guardrail(**ASKED))
            assert (answer["action"], answer["usage"]["contentPolicyUnits"]) == ("NONE", 2)
            await settled(app, 2)
            row = await app.gateway.ledger.get(answer["ResponseMetadata"]["HTTPHeaders"]["x-request-id"])
            assert ("guardrail_content", 2) in row.calls[0].units


async def test_simulated_guardrails_refuse_what_is_no_request(tmp_path):
    async with serving(tmp_path) as (url, _), aiohttp.ClientSession() as session:
        body = {"source": "NOWHERE", "content": []}
        async with session.post(url + "/guardrail/g/version/1/apply", json=body) as answer:
            assert answer.status == 400
            assert answer.headers["x-amzn-errortype"].startswith("ValidationException")


async def test_boto3_counts_tokens_without_a_call(tmp_path):
    async with serving(tmp_path) as (url, app):
        client = bedrock(url)
        messages = [{"role": "user", "content": [{"text": "What is a halfpenny bridge?"}]}]
        answer = await anyio.to_thread.run_sync(
            lambda: client.count_tokens(modelId=SONNET, input={"converse": {"messages": messages}})
        )
        assert answer["inputTokens"] > 0
        assert answer["ResponseMetadata"]["HTTPHeaders"]["x-hapenny-count"] == "reported"
        assert app.gateway.backends["simulated"].provider.bill.calls == 0
