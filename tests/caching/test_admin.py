"""The caches over HTTP, on a whole gateway with simulated models."""

import json

import pytest
from aiohttp import ClientSession

from hapenny.caching.prefix.tariffs import of_card
from hapenny.catalog import default
from hapenny.config import load
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App

CONFIG = """
ledger: null
backends: {simulated: {kind: simulated}}
stages: {semantic: {embedder: hashed, similarity: 0.6}}
routes: {default: {preset: balanced, holdout: 0}}
keys:
  - {key: key-of-red-tenant, tenant: red}
  - {key: key-of-blue-tenant, tenant: blue}
"""


@pytest.fixture
async def bank():
    gateway = Gateway(load(text=CONFIG))
    await gateway.start()
    app = App(gateway)
    port = await app.start("127.0.0.1", 0)
    async with ClientSession(f"http://127.0.0.1:{port}") as session:
        yield Bank(session, gateway)
    await app.stop()


class Bank:
    def __init__(self, session, gateway):
        self.session, self.gateway = session, gateway

    async def call(self, method, path, body=None, tenant="red"):
        headers = {"authorization": f"Bearer key-of-{tenant}-tenant"}
        async with self.session.request(method, path, json=body, headers=headers) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw else None, response.headers

    async def ask(self, text, tenant="red"):
        body = {"model": "fast", "temperature": 0, "messages": [{"role": "user", "content": text}]}
        status, answer, headers = await self.call("POST", "/v1/chat/completions", body, tenant)
        assert status == 200, answer
        return answer["choices"][0]["message"]["content"], headers


async def test_hits_are_counted_explained_and_invalidated_by_tenant(bank):
    first, _ = await bank.ask("where is my order")
    again, headers = await bank.ask("where is my order")
    assert again == first
    assert "hit" in headers["cache-status"]
    _, stats, _ = await bank.call("GET", "/v1/cache/stats")
    assert stats["exact"]["hits"] == 1
    _, explained, _ = await bank.call("GET", "/v1/cache/explain/")
    assert explained[0]["hits"] == 1
    assert "where" not in json.dumps(explained)
    assert (await bank.call("GET", "/v1/cache/explain/", tenant="blue"))[1] == []
    _, others, _ = await bank.call("POST", "/v1/cache/invalidate", {}, tenant="blue")
    assert others["exact"]["entries"] == 0
    _, dry, _ = await bank.call("POST", "/v1/cache/invalidate", {"tag": "route:default", "dry_run": True})
    assert dry["exact"] == {"entries": 1, "bytes": dry["exact"]["bytes"], "dry_run": True}
    _, gone, _ = await bank.call("POST", "/v1/cache/invalidate", {"key": explained[0]["key"]})
    assert gone["exact"]["entries"] + gone["semantic"]["entries"] == 1
    _, gone, _ = await bank.call("POST", "/v1/cache/invalidate", {})
    assert gone["exact"]["entries"] + gone["semantic"]["entries"] == 1
    assert len(bank.gateway.shared.answers) == len(bank.gateway.shared.paraphrases) == 0


async def test_a_paraphrase_is_served_and_can_be_reported_wrong(bank):
    first, _ = await bank.ask("where is my order please")
    other, headers = await bank.ask("please where is my order now")
    assert other == first
    assert "hit" in headers["cache-status"]
    request_id = headers["x-request-id"]
    assert (await bank.call("POST", "/v1/cache/feedback", {"request_id": request_id}))[1] == {"removed": True}
    assert (await bank.call("POST", "/v1/cache/feedback", {"request_id": request_id}))[0] == 404
    assert bank.gateway.parts.semantic.stats()["default"].hits == 1
    assert len(bank.gateway.parts.semantic) == 0


async def test_paraphrases_never_cross_tenants(bank):
    await bank.ask("where is my order please")
    await bank.ask("please where is my order now", tenant="blue")
    assert bank.gateway.parts.semantic.stats()["default"].hits == 0


async def test_published_answers_are_readable_by_anyone_and_nothing_else_is(bank):
    key = b"k" * 32
    bank.gateway.shared.edge.publish(key, b'{"a":1}', scope="shared", verified=True)
    status, body, headers = await bank.call("GET", f"/v1/answers/{key.hex()}")
    assert (status, body) == (200, {"a": 1})
    assert "s-maxage=300" in headers["cache-control"]
    assert (await bank.call("GET", "/v1/answers/00"))[0] == 404


async def test_wrong_requests_are_refused(bank):
    assert (await bank.call("POST", "/v1/cache/invalidate", {"tagg": "x"}))[0] == 400
    assert (await bank.call("GET", "/v1/cache/nonsense"))[0] == 404
    async with bank.session.get("/v1/cache/stats") as response:
        assert response.status == 401


def test_every_card_that_caches_has_a_tariff_or_no_known_price():
    found = {name: of_card(card) for name, card in default().cards.items()}
    assert sum(how is not None for how in found.values()) >= 10
    for how in found.values():
        if how is not None:
            assert all(0 <= tariff.read < 1 for tariff in how.tariffs)
            assert [tariff.ttl for tariff in how.tariffs] in ([300.0], [300.0, 3_600.0])
            assert how.minimum >= 512
    hour = found["anthropic.claude-haiku-4-5-20251001-v1:0"]
    assert hour is not None
    assert [tariff.write for tariff in hour.tariffs] == [1.25, 2.0]
    plain = found["anthropic.claude-3-5-haiku-20241022-v1:0"]
    assert plain is not None
    assert len(plain.tariffs) == 1, "no hour is bought at a price that nobody stated"
    assert of_card(None) is None
