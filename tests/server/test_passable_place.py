"""What passes through goes where the configuration says, in the provider's own names, to the plane that answers it."""

import contextlib
import json

import aiohttp
import anyio.to_thread
import boto3
import botocore.config
import botocore.exceptions
import pytest
from aiohttp import web

from hapenny.config import load
from tests.backends.servers import serving as listening
from tests.server.house import running, serving

IMAGES = "/v1/images/generations"
INVOKED = "/bedrock-runtime/model/amazon.titan-embed-text-v2:0/invoke"
JOB = "arn:aws:bedrock:us-east-1:1:model-invocation-job/a1"
RERANK = "arn:aws:bedrock:us-east-1::foundation-model/amazon.rerank-v1:0"


@contextlib.asynccontextmanager
async def provider():
    """(URL, requests): records what it is asked; its first path segment is whatever the test says."""
    seen = []

    async def answer(request):
        seen.append((request.path, await request.read(), dict(request.headers)))
        return web.json_response({"results": [{"index": 0, "relevanceScore": 0.5}], "id": f"obj_{len(seen)}"})

    async with listening(answer) as base:
        yield base, seen


CONFIG = """
backends:
  br:
    kind: bedrock
    region: us-east-1
    base_url: "{url}/bedrock-runtime"
    plane_urls: {{bedrock: "{url}/bedrock", bedrock-agent-runtime: "{url}/bedrock-agent-runtime"}}
    knowledge_bases: {{KB1: [alice]}}
    {auth}
  oa: {{kind: openai, base_url: "{url}/oa/v1", api_key: sk-oa}}
  ob: {{kind: openai, base_url: "{url}/ob/v1", api_key: sk-ob}}
  an: {{kind: anthropic, base_url: "{url}/an", api_key: sk-an}}
default_backend: br
models:
  my-gpt: {{id: gpt-5.2, backend: oa}}
  other-gpt: {{id: gpt-5.1, backend: ob}}
  my-embed: {{id: text-embedding-3-small, backend: ob}}
  my-titan: {{id: "amazon.titan-embed-text-v2:0", backend: br}}
  my-claude: {{id: claude-sonnet-4-5, backend: an}}
  my-bedrock: {{id: "us.anthropic.claude-sonnet-4-5-20250929-v1:0", backend: br}}
  my-rank: {{id: "amazon.rerank-v1:0", backend: br}}
tiers: {{strong: my-bedrock}}
ledger: {{path: "{ledger}"}}
{keys}
"""
KEYED = "keys: [{key: key-of-alice, tenant: alice}, {key: key-of-robert, tenant: bob}]"


@contextlib.asynccontextmanager
async def gateway(tmp_path, *, keys="", auth="api_key: ABSK"):
    async with provider() as (url, seen):
        text = CONFIG.format(url=url, ledger=tmp_path / "l.db", keys=keys, auth=auth)
        async with running(load(text=text)) as (base, app):
            yield base, app, seen


async def post(base, path, body, **headers):
    async with aiohttp.ClientSession() as session, session.post(base + path, json=body, headers=headers) as answer:
        return answer.status, await answer.text()


ANTHROPIC = {"anthropic-version": "2023-06-01"}
BATCH = {"requests": [{"custom_id": "1", "params": {"model": "my-claude", "max_tokens": 5, "messages": []}}]}


@pytest.mark.parametrize(
    ("path", "body", "headers", "arrives", "model"),
    [
        ("/v1/moderations", {"model": "my-gpt", "input": "x"}, {}, "/oa/v1/moderations", "gpt-5.2"),
        ("/v1/moderations", {"model": "other-gpt", "input": "x"}, {}, "/ob/v1/moderations", "gpt-5.1"),
        ("/v1/moderations", {"model": "gpt-5.1", "input": "x"}, {}, "/ob/v1/moderations", "gpt-5.1"),
        (IMAGES, {"model": "openai/gpt-5.2", "prompt": "x"}, {}, f"/oa{IMAGES}", "gpt-5.2"),
        ("/model/my-titan/invoke", {"inputText": "x"}, {}, INVOKED, None),
    ],
)  # fmt: skip
async def test_a_named_model_goes_where_it_is_under_its_own_id(tmp_path, path, body, headers, arrives, model):
    async with gateway(tmp_path) as (base, _, seen):
        assert (await post(base, path, body, **headers))[0] == 200
        assert [request[0] for request in seen] == [arrives]
        assert json.loads(seen[0][1]).get("model") == model


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/moderations", {"model": "my-bedrock", "input": "secret"}, {}),
        (IMAGES, {"model": "my-claude", "prompt": "secret"}, {}),
        ("/v1/complete", {"model": "my-gpt", "prompt": "secret"}, ANTHROPIC),
        (IMAGES, {"model": "my-gpt", "models": ["other-gpt"], "prompt": "secret"}, {}),
    ],
)
async def test_no_prompt_leaves_for_a_provider_nobody_chose(tmp_path, path, body, headers):
    async with gateway(tmp_path) as (base, _, seen):
        status, text = await post(base, path, body, **headers)
        assert status == 400
        assert seen == []
        assert "secret" not in text


async def test_what_is_anthropics_goes_to_anthropic_alone(tmp_path):
    async with gateway(tmp_path) as (base, _, seen):
        assert (await post(base, "/anthropic/v1/complete", {"model": "my-claude", "prompt": "x"}))[0] == 200
        assert seen[0][0] == "/an/v1/complete"
        assert json.loads(seen[0][1])["model"] == "claude-sonnet-4-5"


async def test_an_object_is_asked_for_where_it_was_made(tmp_path):
    async with gateway(tmp_path) as (base, _, seen), aiohttp.ClientSession() as session:
        made = json.loads((await post(base, "/v1/fine_tuning/jobs", {"model": "my-embed", "training_file": "f"}))[1])
        async with session.get(f"{base}/v1/fine_tuning/jobs/{made['id']}") as answer:
            assert answer.status == 200
        assert [request[0] for request in seen] == ["/ob/v1/fine_tuning/jobs", "/ob/v1/fine_tuning/jobs/obj_1"]


def client(service, url, key="AKIATEST"):
    config = botocore.config.Config(retries={"total_max_attempts": 1})
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1", config=config, aws_access_key_id=key,
        aws_secret_access_key="secret",
    )  # fmt: skip


def reranks(ranker, model=RERANK):
    def ask():
        return ranker.rerank(
            queries=[{"type": "TEXT", "textQuery": {"text": "Which bridge charged half a penny?"}}],
            sources=[
                {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}}
                for text in ("A recipe for soup.", "The bridge that charged half a penny.")
            ],
            rerankingConfiguration={
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": model}},
            },
        )

    return anyio.to_thread.run_sync(ask)


@pytest.mark.parametrize("model", [RERANK, "my-rank"])
async def test_the_agent_runtime_is_asked_at_its_own_host_and_priced_by_the_query(tmp_path, model, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOURS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    async with gateway(tmp_path, auth="") as (base, app, seen):
        answer = await reranks(client("bedrock-agent-runtime", base), model)
        assert answer["results"][0]["relevanceScore"] == 0.5
        path, body, headers = seen[0]
        assert path == "/bedrock-agent-runtime/rerank"
        sent = json.loads(body)["rerankingConfiguration"]["bedrockRerankingConfiguration"]
        assert sent["modelConfiguration"]["modelArn"] == RERANK
        assert "AKIAOURS/" in headers["Authorization"]
        assert "/us-east-1/bedrock/aws4_request" in headers["Authorization"]
        row = await app.gateway.ledger.get(answer["ResponseMetadata"]["HTTPHeaders"]["x-request-id"])
        assert row.actual == 1_000_000  # $1.00 a thousand queries, in nano-dollars
        assert not row.unpriced


async def test_the_control_plane_is_asked_at_its_own_host(tmp_path):
    async with gateway(tmp_path) as (base, _, seen):
        control = client("bedrock", base)
        await anyio.to_thread.run_sync(control.list_guardrails)
        await anyio.to_thread.run_sync(lambda: control.get_model_invocation_job(jobIdentifier=JOB))
        assert [request[0].split("/")[1:3] for request in seen] == [
            ["bedrock", "guardrails"],
            ["bedrock", "model-invocation-job"],
        ]


async def test_with_keys_the_account_is_the_operators(tmp_path, monkeypatch):
    async with gateway(tmp_path, keys=KEYED) as (base, _, seen):
        alice, bob = ({"authorization": f"Bearer key-of-{name}"} for name in ("alice", "robert"))
        job = {
            "jobName": "j",
            "roleArn": "arn:x",
            "modelId": "my-bedrock",
            "inputDataConfig": {},
            "outputDataConfig": {},
        }
        assert (await post(base, "/model-invocation-job", job, **alice))[0] == 403
        assert (await post(base, "/inference-profiles", {"inferenceProfileName": "x"}, **alice))[0] == 403
        ask = {"retrievalQuery": {"text": "x"}}
        assert (await post(base, "/knowledgebases/KB1/retrieve", ask, **bob))[0] == 403
        assert (await post(base, "/knowledgebases/KB2/retrieve", ask, **alice))[0] == 403
        assert seen == []
        assert (await post(base, "/knowledgebases/KB1/retrieve", ask, **alice))[0] == 200
        assert seen[0][0] == "/bedrock-agent-runtime/knowledgebases/KB1/retrieve"


def generate(**configuration):
    return {"input": {"text": "x"}, "retrieveAndGenerateConfiguration": configuration}


async def test_retrieve_and_generate_reads_no_files_of_the_operators(tmp_path):
    base_of = {"knowledgeBaseId": "KB1", "modelArn": "my-bedrock"}
    files = {"modelArn": "my-bedrock", "sources": [{"sourceType": "S3", "s3Location": {"uri": "s3://secret/x"}}]}
    async with gateway(tmp_path, keys=KEYED) as (base, _, seen):
        alice, path = {"authorization": "Bearer key-of-alice"}, "/retrieveAndGenerate"
        both = generate(type="KNOWLEDGE_BASE", knowledgeBaseConfiguration=base_of, externalSourcesConfiguration=files)
        for body in (generate(type="EXTERNAL_SOURCES", externalSourcesConfiguration=files), both):
            assert (await post(base, path, body, **alice))[0] == 403
        assert seen == []
        body = generate(type="KNOWLEDGE_BASE", knowledgeBaseConfiguration=base_of)
        assert (await post(base, path, body, **alice))[0] == 200
        sent = json.loads(seen[0][1])["retrieveAndGenerateConfiguration"]["knowledgeBaseConfiguration"]
        assert sent["modelArn"].endswith("us.anthropic.claude-sonnet-4-5-20250929-v1:0")


async def test_inference_profiles_are_those_of_the_models_a_key_may_ask(tmp_path):
    keys = "keys: [{key: key-of-alice, tenant: alice, models: [my-bedrock]}, {key: key-of-robert, models: [my-gpt]}]"
    async with gateway(tmp_path, keys=keys) as (base, _, seen), aiohttp.ClientSession() as session:

        async def ids(name):
            head = {"authorization": f"Bearer key-of-{name}"}
            async with session.get(base + "/inference-profiles?type=SYSTEM_DEFINED", headers=head) as answer:
                return [each["inferenceProfileId"] for each in (await answer.json())["inferenceProfileSummaries"]]

        assert await ids("alice") == ["us.anthropic.claude-sonnet-4-5-20250929-v1:0"]
        assert await ids("robert") == []
        assert seen == []


async def test_boto3_shows_what_a_simulated_bedrock_refuses(tmp_path):
    async with serving(tmp_path) as (base, _):
        control = client("bedrock", base)
        assert (await anyio.to_thread.run_sync(control.list_foundation_models))["modelSummaries"]
        await anyio.to_thread.run_sync(control.list_inference_profiles)
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            await anyio.to_thread.run_sync(lambda: control.get_guardrail(guardrailIdentifier="g1"))
        assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"
        assert refused.value.response["Error"]["Message"]


async def test_a_simulated_bedrock_reranks_and_bills_the_query(tmp_path):
    async with serving(tmp_path) as (base, app):
        answer = await reranks(client("bedrock-agent-runtime", base))
        assert [result["index"] for result in answer["results"]] == [1, 0]
        row = await app.gateway.ledger.get(answer["ResponseMetadata"]["HTTPHeaders"]["x-request-id"])
        assert row.actual == app.gateway.backends["simulated"].provider.bill.nano == 1_000_000


PUBLIC = ("claude-opus-4-8", "gpt-5", "openai/gpt-4o", "claude-sonnet-4-5-20250929", "claude-3-5-sonnet-latest")


async def test_public_names_are_answered_by_the_simulator_at_their_own_price(tmp_path):
    async with serving(tmp_path) as (base, app):
        for name in (
            "claude-opus-4-8",
            "gpt-5",
            "openai/gpt-4o",
            "claude-sonnet-4-5-20250929",
            "claude-3-5-sonnet-latest",
        ):
            status, text = await post(
                base,
                "/v1/chat/completions",
                {"model": name, "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]},
            )
            assert status == 200, text
        assert app.gateway.books.unpriced == 0
