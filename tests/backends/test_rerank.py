"""Rerankers against real servers; Bedrock's wire against botocore."""

import json

import boto3
import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials

from hapenny.backends.credentials import CredentialChain, Environment
from hapenny.backends.pool import Pool
from hapenny.backends.rerank import Reranker
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.exchange import Target
from hapenny.core.reranking import RerankRequest, units
from hapenny.protocols.rerank import BedrockRerank, DocumentsRerank, TextsRerank
from tests.backends.servers import serving

CLOCK = RealClock(seed=1)
TEXTS = ("The ferry leaves at seven.", "", "Crossing costs half a penny – on foot.")
ASKED = RerankRequest(model="cohere.rerank-v3-5:0", query="What does crossing cost?", documents=TEXTS)
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}


def reranker(base, codec, **rest):
    return Reranker(Target(ASKED.model, "r", "eu-west-1"), Pool(CLOCK), CLOCK, codec, base, **rest)


async def asked(made, request=ASKED, seconds=5.0):
    try:
        return await made.rerank(request, CLOCK.now() + seconds)
    finally:
        await made.aclose()


async def test_bedrock_is_asked_as_boto3_asks_and_signed_as_botocore_signs():
    seen = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, dict(request.headers), await request.read()))
        results = [
            {"index": 2, "relevanceScore": 0.9},
            {"index": 0, "relevanceScore": 0.2},
            {"index": 1, "relevanceScore": 0.0},
        ]
        return web.json_response({"results": results})

    credentials = CredentialChain(CLOCK, [Environment(ENVIRONMENT)])
    async with serving(answer) as base:
        found = await asked(reranker(base, BedrockRerank("eu-west-1"), credentials=credentials))
        client = boto3.client(
            "bedrock-agent-runtime",
            region_name="eu-west-1",
            endpoint_url=base,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
            config=Config(retries={"max_attempts": 0}),
        )
        # botocore validates the body against the service's model before it sends it.
        body = json.loads(seen[0][2])
        theirs = await CLOCK.work("boto", 1, lambda: client.rerank(**body))
    assert found.scores == (0.2, 0.0, 0.9)
    assert [each["index"] for each in theirs["results"]] == [2, 0, 1]
    (path, headers, sent), (their_path, _, their_body) = seen
    assert path == their_path == "/rerank"
    assert json.loads(their_body) == body
    arn = body["rerankingConfiguration"]["bedrockRerankingConfiguration"]["modelConfiguration"]["modelArn"]
    assert arn == "arn:aws:bedrock:eu-west-1::foundation-model/cohere.rerank-v3-5:0"
    signed = AWSRequest("POST", base + path, data=sent, headers={"content-type": headers["Content-Type"]})
    signed.headers["host"] = headers["Host"]
    signed.context["timestamp"] = headers["X-Amz-Date"]
    auth = SigV4Auth(BotoCredentials("AKIDEXAMPLE", "secret", "token"), "bedrock", "eu-west-1")
    signed.headers["X-Amz-Date"] = headers["X-Amz-Date"]
    signed.headers["X-Amz-Security-Token"] = "token"
    signature = auth.signature(auth.string_to_sign(signed, auth.canonical_request(signed)), signed)
    assert headers["Authorization"].endswith(signature)


async def test_what_bedrock_does_not_report_is_an_estimate():
    body = json.dumps({"results": [{"index": i, "relevanceScore": 0.5} for i in range(3)]}).encode()
    found = BedrockRerank("us-east-1").decode(body, ASKED)
    assert not found.reported
    assert found.tokens.queries == 1
    assert units(RerankRequest(model="m", query="q", documents=("word " * 1000,) * 60)) == 2


@pytest.mark.parametrize(
    ("region", "arn"),
    [
        ("us-gov-west-1", "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/m"),
        ("cn-north-1", "arn:aws-cn:bedrock:cn-north-1::foundation-model/m"),
    ],
)
def test_a_model_id_becomes_the_arn_of_its_partition(region, arn):
    assert BedrockRerank(region).arn("m") == arn
    assert BedrockRerank(region).arn(arn) == arn


SERVERS = [
    (
        DocumentsRerank(),
        {"results": [{"index": i, "relevance_score": s} for i, s in ((1, 0.1), (2, 3), (0, -0.5))],
         "meta": {"billed_units": {"search_units": 2}}},
        Tokens(queries=2),
    ),
    (
        DocumentsRerank(),
        {"model": "m", "usage": {"total_tokens": 77}, "results": [
            {"index": i, "relevance_score": s, "document": {"text": "…"}} for i, s in ((1, 0.1), (2, 3), (0, -0.5))]},
        Tokens(input=77),
    ),
    (TextsRerank(), [{"index": i, "score": s} for i, s in ((1, 0.1), (2, 3), (0, -0.5))], None),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "answered", "tokens"), SERVERS, ids=["cohere", "vllm", "tei"])
async def test_servers_are_asked_in_their_own_words(codec, answered, tokens):
    seen = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, request.headers.get("Authorization"), await request.json()))
        return web.json_response(answered)

    async with serving(answer) as base:
        found = await asked(reranker(base + "/v2", codec, key="k"))
    path, key, body = seen[0]
    assert (path, key) == ("/v2/rerank", "Bearer k")
    assert body["query"] == ASKED.query
    assert body.get("documents") or body.get("texts") == [TEXTS[0], " ", TEXTS[2]]
    assert found.scores == (-0.5, 0.1, 3.0)
    assert found.reported is (tokens is not None)
    assert tokens is None or found.tokens == tokens


@pytest.mark.parametrize(
    "answered",
    [
        b"nope",
        b"{}",
        b'{"results": [{"index": 0, "relevance_score": 1}]}',
        b'{"results": [{"index": 3, "relevance_score": 1}]}',
        b'{"results": [{"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 1}]}',
        b'{"results": [{"index": 0, "relevance_score": "high"}]}',
    ],
)
def test_an_answer_that_is_none_is_a_failure_of_the_upstream(answered):
    with pytest.raises(Failure) as failure:
        DocumentsRerank().decode(answered, ASKED)
    assert failure.value.kind == "upstream"


async def test_errors_and_time_outs_are_told_in_our_words():
    async def throttled(request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"message": "slow down"}, status=429, headers={"x-amzn-errortype": "ThrottlingException"}
        )

    async def silent(request: web.Request) -> web.StreamResponse:
        await CLOCK.sleep(30)
        return web.json_response({})

    async with serving(throttled) as base:
        for codec in (BedrockRerank("us-east-1"), DocumentsRerank(), TextsRerank()):
            with pytest.raises(Failure) as failure:
                await asked(reranker(base, codec))
            assert failure.value.kind == "rate_limited"
    async with serving(silent) as base:
        with pytest.raises(Failure) as failure:
            await asked(reranker(base, DocumentsRerank()), seconds=0.1)
        assert failure.value.kind == "timeout"
    with pytest.raises(Failure, match="0 passages"):
        await asked(
            reranker("http://127.0.0.1:1", DocumentsRerank()), RerankRequest(model="m", query="q", documents=())
        )
