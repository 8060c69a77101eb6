"""A knowledge base of Bedrock's as a collection. Requests are held against botocore's model of the service; answers
have the documented shape (constructed: no account is asked)."""

import asyncio

import aiohttp
import botocore.session
import pytest
from aiohttp import web
from botocore.validate import ParamValidator

from hapenny.config import ConfigError, load
from hapenny.retrieval.filters import FilterError, parse
from hapenny.retrieval.search.knowledge_base import retrieval_filter
from tests.caching.test_safety_cases import Shop
from tests.server.house import running

CONFIG = """
ledger: null
backends: {{simulated: {{kind: simulated}}}}
keys:
  - {{key: key-of-tenant-a, tenant: a, groups: [staff]}}
  - {{key: key-of-tenant-b, tenant: b}}
collections:
  manual: {{knowledge_base: {{id: ABCDEFGHIJ, base_url: "{url}", {access}}}}}
stages: {{retrieval: {{collection: manual}}}}
routes: {{default: {{holdout: 0, stages: {{retrieval: "on"}}}}}}
"""
ACCESS = "tenant_field: owner, group_field: readers"


def result(text, score=0.7, **metadata):
    uri = f"s3://bucket/{metadata.pop('name', 'opening.md')}"
    return {
        "content": {"text": text, "type": "TEXT"},
        "location": {"type": "S3", "s3Location": {"uri": uri}},
        "score": score,
        "metadata": {
            "x-amz-bedrock-kb-source-uri": uri,
            "x-amz-bedrock-kb-chunk-id": f"1%3A0%3A{text[:4]}",
            "x-amz-bedrock-kb-data-source-id": "DATASOURCE",
            **metadata,
        },
    }


class Service:
    """Bedrock's side: checks what it is asked, answers as told."""

    def __init__(self):
        self.asked, self.results, self.status, self.wait = [], [], 200, 0.0
        model = botocore.session.get_session().get_service_model("bedrock-agent-runtime")
        self._shape = model.operation_model("Retrieve").input_shape

    async def retrieve(self, request):
        body = await request.json()
        report = ParamValidator().validate({"knowledgeBaseId": request.match_info["id"], **body}, self._shape)
        assert not report.has_errors(), report.generate_report()
        assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
        assert "/bedrock/aws4_request" in request.headers["authorization"]
        self.asked.append(body)
        await asyncio.sleep(self.wait)
        if self.status != 200:
            return web.json_response({"message": "no"}, status=self.status)
        return web.json_response({"retrievalResults": self.results})


@pytest.fixture
async def service(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    made = Service()
    app = web.Application()
    app.router.add_post("/knowledgebases/{id}/retrieve", made.retrieve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # noqa: SLF001
    yield made
    await runner.cleanup()


@pytest.fixture
async def ask(service):
    async with (
        running(load(text=CONFIG.format(url=service.url, access=ACCESS))) as (url, _),
        aiohttp.ClientSession() as session,
    ):

        async def post(path, body, key="key-of-tenant-a"):
            headers = {"authorization": f"Bearer {key}"}
            async with session.post(url + path, json=body, headers=headers) as answer:
                return answer.status, await answer.json(), answer.headers

        yield post


async def test_it_is_searched_like_any_collection(service, ask):
    service.results = [
        result("We open at nine.", 0.8, owner="a", readers=["*"], year=2024, topic="hours"),
        result("On Sundays we are closed.", 0.7, owner="*", readers=["staff"]),
    ]
    status, body, _ = await ask("/v1/retrieve", {"query": "when do you open", "collection": "manual", "k": 2})
    assert status == 200, body
    first, second = body["data"]
    assert first["text"] == "We open at nine."
    assert first["source"] == "s3://bucket/opening.md"
    assert first["facets"]["topic"] == ["hours"]
    assert second["text"] == "On Sundays we are closed."
    (asked,) = service.asked
    assert asked["retrievalQuery"] == {"text": "when do you open"}
    assert asked["retrievalConfiguration"]["vectorSearchConfiguration"]["overrideSearchType"] == "HYBRID"


async def test_callers_see_what_the_metadata_lets_them_whatever_comes_back(service, ask):
    service.results = [
        result("of a", owner="a", readers=["*"]),
        result("of b", owner="b", readers=["*"]),
        result("of everybody's staff", owner="*", readers=["staff"]),
        result("of nobody"),
    ]
    _, of_a, _ = await ask("/v1/retrieve", {"query": "what", "k": 10})
    _, of_b, _ = await ask("/v1/retrieve", {"query": "what", "k": 10}, key="key-of-tenant-b")
    assert [hit["text"] for hit in of_a["data"]] == ["of a", "of everybody's staff"]
    assert [hit["text"] for hit in of_b["data"]] == ["of b"]
    where = service.asked[0]["retrievalConfiguration"]["vectorSearchConfiguration"]["filter"]
    assert where == {
        "andAll": [
            {"in": {"key": "owner", "value": ["a", "*"]}},
            {
                "orAll": [
                    {"listContains": {"key": "readers", "value": "staff"}},
                    {"listContains": {"key": "readers", "value": "*"}},
                ]
            },
        ]
    }


class Model(Shop):
    """Keeps what it was asked."""

    async def call(self, request, target, limits):
        self.request = request
        return await super().call(request, target, limits)


async def test_passages_reach_the_model_as_numbered_sources(service):
    service.results = [result("We open at nine.", owner="a", readers=["*"])]
    model = Model()
    body = {"model": "fast", "messages": [{"role": "user", "content": "When do you open?"}]}
    headers = {"authorization": "Bearer key-of-tenant-a"}
    config = load(text=CONFIG.format(url=service.url, access=ACCESS))
    async with (
        running(config, {"simulated": model}) as (url, _),
        aiohttp.ClientSession() as session,
        session.post(url + "/v1/chat/completions", json=body, headers=headers) as answer,
    ):
        assert answer.status == 200
    assert '<source number="1" title="opening.md">\nWe open at nine.\n</source>' in model.request.messages[-1].text


@pytest.mark.parametrize(("status", "wait"), [(403, 0.0), (500, 0.0), (200, 3.0)])
async def test_one_that_does_not_answer_takes_no_request_with_it(service, ask, status, wait):
    service.status, service.wait = status, wait
    chat = {"model": "fast", "messages": [{"role": "user", "content": "When do you open?"}]}
    assert (await ask("/v1/chat/completions", chat))[0] == 200
    told = await ask("/v1/retrieve", {"query": "when"})
    assert told[0] == 503, told


@pytest.mark.parametrize(
    "where",
    [
        {"field": "topic", "in": ["hours", "prices"]},
        {"field": "year", "gte": 2020, "lt": 2025},
        {"field": "year", "gt": 2020},
        {
            "any": [
                {"field": "topic", "is": "hours"},
                {"all": [{"field": "year", "is": 2024}, {"field": "a", "is": "b"}]},
            ]
        },
        {"not": {"field": "topic", "in": ["hours"]}},
    ],
)
async def test_filters_are_what_the_service_takes(service, ask, where):
    status, body, _ = await ask("/v1/retrieve", {"query": "what", "filter": where})
    assert status == 200, body
    assert "andAll" in service.asked[0]["retrievalConfiguration"]["vectorSearchConfiguration"]["filter"]


def test_what_it_cannot_be_asked_is_refused():
    with pytest.raises(FilterError, match="can only be asked"):
        retrieval_filter(parse({"not": {"field": "year", "gt": 2020}}))


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("{knowledge_base: {id: short, everybody: true}}", "is no knowledge base's"),
        ("{knowledge_base: {id: ABCDEFGHIJ}}", "say who may see its documents"),
        ("{}", "a folder or a knowledge base"),
    ],
)
def test_who_may_see_it_has_to_be_said(how, what):
    with pytest.raises(ConfigError, match=what):
        load(text=f"collections: {{manual: {how}}}\n")
