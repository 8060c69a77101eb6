"""Two gateways that share a space answer as one: over HTTP, each with its own clients."""

import asyncio
import contextlib
import json
import re

import aiohttp
import pytest

from hapenny.config import ConfigError, load
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.stores.host import HostServer, HostState
from hapenny.stores.open_space import open_space
from tests.caching.test_safety_cases import Shop
from tests.server.house import running
from tests.settling import eventually

CONFIG = """
ledger: null
backends: {simulated: {kind: simulated}}
fingerprint_key: the same for both of them
keys:
  - {key: key-of-tenant-a, tenant: a, scopes: [call, admin]}
  - {key: key-of-tenant-b, tenant: b}
tenants: {b: {requests_per_minute: 3}}
routes: {default: {holdout: 0, preset: safe}}
"""
BODY = {"model": "strong", "temperature": 0, "messages": [{"role": "user", "content": "when do you open"}]}


@pytest.fixture(params=["host", pytest.param("redis", marks=pytest.mark.redis)])
async def address(request, tmp_path):
    if request.param == "redis":
        yield request.getfixturevalue("redis_url")
        return
    server = HostServer(HostState(RealClock(), 50_000_000), str(tmp_path / "socket"))
    await server.start()
    yield f"host:{tmp_path / 'socket'}"
    await server.aclose()


class Both:
    """Two gateways over one provider."""

    def __init__(self, shops, urls, apps, session):
        self.shops, self.urls, self.apps, self.session = shops, urls, apps, session

    @property
    def calls(self):
        return sum(shop.calls for shop in self.shops)

    async def ask(self, gateway, question="when do you open", *, key="key-of-tenant-a", **more):
        body = {**BODY, "messages": [{"role": "user", "content": question}], **more}
        headers = {"authorization": f"Bearer {key}"}
        async with self.session.post(self.urls[gateway] + "/v1/chat/completions", json=body, headers=headers) as answer:
            text = await answer.text()
            if answer.status == 200 and not more.get("stream"):
                text = json.loads(text)["choices"][0]["message"]["content"]
            return answer.status, answer.headers, text

    async def post(self, gateway, path, body):
        headers = {"authorization": "Bearer key-of-tenant-a"}
        async with self.session.post(self.urls[gateway] + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def both(address):
    async with contextlib.AsyncExitStack() as stack:
        shops, urls, apps = [], [], []
        for _ in range(2):
            shop = Shop()
            config = load(text=CONFIG + f"shared: {address}\n")
            url, app = await stack.enter_async_context(running(config, {"simulated": shop}))
            shops.append(shop)
            urls.append(url)
            apps.append(app)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Both(shops, urls, apps, session)


async def stored(both, question="when do you open"):
    """Waits until what the first gateway answered is where the second one looks."""
    await both.ask(0, question)
    await both.apps[0].gateway.shared.elsewhere.space.look("nothing")


async def test_what_one_answered_the_other_one_has(both):
    await stored(both)
    status, headers, text = await both.ask(1)
    assert (status, text) == (200, "the answer to when do you open")
    assert "hit" in headers["cache-status"]
    assert "detail=exact" in headers["cache-status"]
    assert both.calls == 1
    assert headers["x-hapenny-model"] == (await both.ask(0))[1]["x-hapenny-model"]
    status, headers, text = await both.ask(1, stream=True)
    assert "hit" in headers["cache-status"]
    assert both.calls == 1


async def test_it_is_booked_as_a_hit_of_the_exact_layer(both):
    await stored(both)
    _, headers, _ = await both.ask(1)
    await both.apps[1].gateway.settled()
    row = both.apps[1].gateway
    assert "exact" in headers["x-hapenny-saved"] or float(headers["x-hapenny-cost"]) == 0.0
    assert row.shared.elsewhere.stats()["hits"] == 1


async def test_of_many_at_once_on_both_one_call_is_made(both):
    for shop in both.shops:
        shop.gate = asyncio.Event()
    asked = [asyncio.create_task(both.ask(n % 2)) for n in range(10)]
    await eventually(lambda: both.calls == 1)
    await asyncio.sleep(0.1)
    for shop in both.shops:
        shop.gate.set()
    answers = await asyncio.gather(*asked)
    assert {text for _, _, text in answers} == {"the answer to when do you open"}
    assert both.calls == 1


async def test_another_tenant_never_gets_it(both):
    await stored(both)
    status, headers, _ = await both.ask(1, key="key-of-tenant-b")
    assert status == 200
    assert "hit" not in headers["cache-status"]
    assert both.calls == 2


async def test_a_failed_call_hands_the_question_to_the_next(both):
    both.shops[0].fails = 1
    status, _, _ = await both.ask(0)
    first = status
    status, _, text = await both.ask(1)
    assert (status, text) == (200, "the answer to when do you open"), first


async def test_what_may_not_be_kept_is_asked_of_each(both):
    for gateway in (0, 1):
        await both.ask(gateway, temperature=0.7)
    assert both.calls == 2
    assert both.apps[0].gateway.shared.elsewhere.stats()["leases"] == 0


async def test_an_invalidation_reaches_the_other_one_and_is_asked_anew_once(both):
    await stored(both)
    await both.ask(1)
    assert both.calls == 1
    status, gone = await both.post(0, "/v1/cache/invalidate", {"tag": "route:default"})
    assert (status, gone["exact"]["entries"]) == (200, 1)
    await eventually(lambda: len(both.apps[1].gateway.shared.answers) == 0)
    await both.ask(1)
    assert both.calls == 2, "what lies in the store was put there before"
    await both.apps[1].gateway.shared.elsewhere.space.look("nothing")
    await both.ask(0)
    assert both.calls == 2


async def test_a_gateway_that_comes_later_knows_what_was_withdrawn_before(both, address):
    await stored(both)
    await both.post(0, "/v1/cache/invalidate", {"older_than_s": 0})
    shop = Shop()
    async with running(load(text=CONFIG + f"shared: {address}\n"), {"simulated": shop}) as (url, _):
        both.urls.append(url)
        await both.ask(2)
    assert shop.calls == 1


async def test_documents_that_change_make_answers_stale_everywhere(both):
    await stored(both)
    first, second = (app.gateway for app in both.apps)
    await both.ask(1)
    (entry,) = second.shared.answers
    tag = next(tag for tag in entry.tags if tag.startswith("model:"))
    first.shared.dedup.on_stale(tag, "")
    await eventually(lambda: not entry.fresh(second.clock.wall()))


async def test_values_of_somebody_else_are_not_taken(both, address):
    await stored(both)
    space = open_space(address, RealClock())
    elsewhere = both.apps[1].gateway.shared.elsewhere
    (entry,) = both.apps[0].gateway.shared.answers
    value = (await space.look(entry.key.hex())).value
    space.keep(entry.key.hex(), "x", value[:-1] + bytes([value[-1] ^ 1]), 60.0)
    await space.look("nothing")
    await both.ask(1)
    assert both.calls == 2
    assert elsewhere.stats()["refused"] == 1
    await space.aclose()


async def test_limits_a_minute_are_counted_together(both):
    statuses = [(await both.ask(n % 2, f"question {n}", key="key-of-tenant-b"))[0] for n in range(6)]
    assert statuses.count(200) == 3
    assert statuses.count(429) == 3


async def test_figures_and_metrics_say_what_is_shared(both):
    await stored(both)
    await both.ask(1)
    headers = {"authorization": "Bearer key-of-tenant-a"}
    async with both.session.get(both.urls[1] + "/v1/cache/stats", headers=headers) as answer:
        assert (await answer.json())["shared"]["hits"] == 1
    page = both.apps[1].gateway.recorder.metrics.render().decode()
    assert 'hapenny_shared_answers_total{outcome="hit"} 1.0' in page


async def test_without_the_store_each_goes_on_alone(tmp_path):
    server = HostServer(HostState(RealClock(), 50_000_000), str(tmp_path / "socket"))
    await server.start()
    shop = Shop()
    config = load(text=CONFIG + f"shared: host:{tmp_path / 'socket'}\n")
    async with running(config, {"simulated": shop}) as (url, app), aiohttp.ClientSession() as session:
        alone = Both([shop], [url], [app], session)
        await server.aclose()
        await asyncio.sleep(0.05)
        assert (await alone.ask(0))[0] == 200
        assert "hit" in (await alone.ask(0))[1]["cache-status"]
        status, told = await alone.post(0, "/v1/cache/invalidate", {})
        assert status == 503, told
        assert len(app.gateway.shared.answers) == 1, "nothing was removed anywhere"


async def test_gateways_are_replaced_one_after_the_other_and_nobody_asks_twice(both, address):
    await stored(both)
    async with contextlib.AsyncExitStack() as stack:
        for number in range(2):
            shop = Shop()
            config = load(text=CONFIG + f"shared: {address}\n")
            url, app = await stack.enter_async_context(running(config, {"simulated": shop}))
            both.urls[number], both.apps[number] = url, app
            both.shops.append(shop)
            statuses = [(await both.ask(each))[0] for each in (0, 1)]
            assert statuses == [200, 200]
        assert both.calls == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("shared: redis://h:6379/0\n", "$.fingerprint_key: empty"),
        ("shared: memcached://h\nfingerprint_key: a secret of ours\n", "$.shared: 'memcached://h' is no shared store"),
        ("ledger: {path: 'mysql://u:p@h/d'}\n", "$.ledger.path: 'mysql://***@h/d' is no ledger"),
    ],
)
def test_what_cannot_be_shared_is_refused_with_the_fix(text, what):
    with pytest.raises(ConfigError) as caught:
        load(text=text)
    assert any(what in problem and "Fix:" in problem for problem in caught.value.problems)


def test_two_more_lines_are_all_it_takes():
    config = load(
        text="fingerprint_key: a secret of ours\nshared: redis://h:6379/0\nledger: {path: 'postgresql://h/d'}\n"
    )
    assert config.counter_store() == "redis://h:6379/0"
    assert config.admission_store() == config.budget_store() == "postgresql://h/d"
    only = load(text="fingerprint_key: a secret of ours\nshared: redis://h:6379/0\n")
    assert only.admission_store() == only.budget_store() == "redis://h:6379/0"


DOWN = Failure("upstream", "the provider is down", upstream_status=500)


async def until_hinted(both, gateway):
    """Until a gateway has taken in what another one says of a provider."""
    metrics = both.apps[gateway].gateway.recorder.metrics
    await eventually(lambda: not re.search(r"^hapenny_provider_hints_total 0", metrics.render().decode(), re.MULTILINE))


async def test_an_endpoint_that_one_gateway_gave_up_gets_one_try_from_the_other(both):
    assert (await both.ask(1, "before"))[0] == 200
    for shop in both.shops:
        shop.failure = DOWN
    for number in range(3):  # until its breaker opens
        await both.ask(0, f"question {number}")
    await until_hinted(both, 1)
    before = both.shops[1].calls
    await both.ask(1, "after")
    assert both.shops[1].calls == before + 1, "alone it would have tried again"


async def test_a_hint_stops_nobody_whose_own_way_works(both):
    assert (await both.ask(1, "before"))[0] == 200
    both.shops[0].failure = DOWN
    for number in range(3):
        await both.ask(0, f"question {number}")
    await until_hinted(both, 1)
    for number in range(3):
        assert (await both.ask(1, f"after {number}"))[0] == 200


async def test_a_providers_own_word_to_come_back_later_holds_for_all(both):
    assert (await both.ask(1, "before"))[0] == 200
    both.shops[0].failure = Failure("rate_limited", "too many", upstream_status=429, retry_after=30.0)
    await both.ask(0, "refused")
    await until_hinted(both, 1)
    before = both.shops[1].calls
    status, headers, _ = await both.ask(1, "after")
    assert status in (429, 503)
    assert int(headers["retry-after"]) > 5
    assert both.shops[1].calls == before
