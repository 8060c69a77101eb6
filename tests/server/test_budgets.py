"""Budgets and limits over HTTP: what keys and tenants may use, whichever way they ask."""

import asyncio
import contextlib
import json

import aiohttp
import anthropic
import openai
import pytest
from aiohttp import web

from hapenny.config import load
from hapenny.core.money import NANO
from tests.backends.servers import serving as listening
from tests.server.house import TEXT, Scripted, running

SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"
CONFIG = """
backends: {simulated: {kind: simulated}}
routes: {default: {holdout: 0, stages: {exact: off, flights: off}}}
ledger: {path: "%s"}
%s
"""
ALICE = {"authorization": "Bearer key-of-alice-000001"}
BOB = {"authorization": "Bearer key-of-bob-0000000002"}


@contextlib.asynccontextmanager
async def gateway(tmp_path, extra, backends=None):
    """(URL, client, app) of a gateway."""
    config = load(text=CONFIG % (tmp_path / "ledger.db", extra))
    async with running(config, backends) as (url, app), aiohttp.ClientSession() as client:
        yield url, client, app


async def ask(client, url, key=ALICE, text="What is a toll?", model=SONNET, **more):
    body = {"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": text}], **more}
    async with client.post(f"{url}/v1/chat/completions", json=body, headers=key) as reply:
        return reply.status, dict(reply.headers), await reply.read()


async def standings(app):
    return {
        account.name: (standing.spent, standing.reserved) for account, standing, _ in await app.gateway.gate.standings()
    }


async def paid(app, tenant):
    """Nano-dollars that the ledger has for a tenant."""
    import sqlite3

    await app.gateway.settled()
    await app.gateway.ledger.flush()
    with contextlib.closing(sqlite3.connect(app.gateway.ledger.path)) as books:
        return books.execute("SELECT coalesce(sum(actual), 0) FROM requests WHERE tenant = ?", (tenant,)).fetchone()[0]


async def test_a_hundred_calls_at_once_spend_no_more_than_the_budget_and_the_books_agree(tmp_path):
    keys = "keys: [{key: key-of-alice-000001, tenant: acme, budgets: [{usd: 0.01, window: day}]}]"
    async with gateway(tmp_path, keys) as (url, client, app):
        answers = await asyncio.gather(*(ask(client, url, text=f"{n} What is a toll?") for n in range(100)))
        statuses = {status for status, _, _ in answers}
        assert statuses <= {200, 402, 429}
        while (status := (await ask(client, url))[0]) != 402:
            assert status == 200
        spent = await paid(app, "acme")
        assert 0 < spent <= 0.01 * NANO
        (account,) = (await standings(app)).values()
        assert account == (spent, 0)
        assert spent >= 0.0085 * NANO  # nearly all of it can be used, though worst cases are set aside


async def test_a_spent_budget_is_told_in_each_dialect_and_no_call_is_made(tmp_path):
    backend = Scripted(TEXT)
    keys = "keys: [{key: key-of-alice-000001, tenant: acme}]\ntenants: {acme: {budgets: [{tokens: 40, window: month}]}}"
    async with gateway(tmp_path, keys, {"simulated": backend}) as (url, _client, _app):
        one = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="key-of-alice-000001", max_retries=0)
        two = anthropic.AsyncAnthropic(base_url=url, api_key="key-of-alice-000001", max_retries=0)
        turn = [{"role": "user", "content": "x"}]
        with pytest.raises(openai.APIStatusError) as refusal:
            await one.chat.completions.create(model=SONNET, messages=turn, max_tokens=400)
        assert refusal.value.status_code == 402
        assert "max_tokens" in refusal.value.message
        with pytest.raises(anthropic.APIStatusError) as refusal:
            await two.messages.create(model=SONNET, messages=turn, max_tokens=400)
        assert refusal.value.status_code == 402
        assert refusal.value.body["error"]["type"] == "billing_error"
        assert backend.asked == []


async def test_tenants_do_not_spend_one_anothers_budgets(tmp_path):
    extra = """
keys: [{key: key-of-alice-000001, tenant: a}, {key: key-of-bob-0000000002, tenant: b}]
tenants: {"*": {budgets: [{usd: 0.002, window: 1h}]}}
"""
    async with gateway(tmp_path, extra) as (url, client, _app):
        while (await ask(client, url, ALICE))[0] == 200:
            pass
        assert (await ask(client, url, ALICE))[0] == 402
        assert (await ask(client, url, BOB))[0] == 200


async def test_failed_calls_and_callers_who_leave_give_back_what_they_did_not_use(tmp_path):
    keys = "keys: [{key: key-of-alice-000001, tenant: acme, budgets: [{usd: 1, window: day}]}]"
    from tests.server.house import failure

    backend = Scripted(TEXT, failure=failure("rate_limited", upstream_status=429))
    async with gateway(tmp_path, keys, {"simulated": backend}) as (url, client, app):
        assert (await ask(client, url))[0] == 429
        assert set((await standings(app)).values()) == {(0, 0)}
        backend.failure, backend.pause = None, 0.2
        body = {"model": SONNET, "stream": True, "max_tokens": 500, "messages": [{"role": "user", "content": "x"}]}
        async with client.post(f"{url}/v1/chat/completions", json=body, headers=ALICE) as reply:
            await reply.content.readany()
            assert next(iter((await standings(app)).values()))[1] > 0
        while app.gateway.books.closed < 2:
            await asyncio.sleep(0.01)
        (account,) = (await standings(app)).values()
        assert account == (await paid(app, "acme"), 0)
        assert account[0] > 0


async def test_a_model_without_a_price_is_not_asked_for_a_key_with_a_budget(tmp_path):
    extra = """
models: {odd: {id: nobody-knows-this-model}}
keys:
  - {key: key-of-alice-000001, tenant: a, budgets: [{usd: 5}]}
  - {key: key-of-bob-0000000002, tenant: b, budgets: [{tokens: 100000}]}
"""
    backend = Scripted(TEXT)
    async with gateway(tmp_path, extra, {"simulated": backend}) as (url, client, app):
        status, _, text = await ask(client, url, ALICE, model="odd")
        assert status == 403
        assert b"price" in text
        assert backend.asked == []
        assert (await ask(client, url, BOB, model="odd"))[0] == 200  # tokens need no price
        assert (await standings(app))[next(name for name in await standings(app) if name.endswith("tokens/month"))] == (
            17,
            0,
        )


async def test_cached_answers_cost_no_budget(tmp_path):
    extra = """
routes: {default: {holdout: 0, cache_any_temperature: true}}
keys: [{key: key-of-alice-000001, tenant: acme, budgets: [{usd: 1}]}]
"""
    text = (CONFIG % (tmp_path / "ledger.db", extra)).replace(
        "routes: {default: {holdout: 0, stages: {exact: off, flights: off}}}\n", ""
    )
    async with running(load(text=text)) as (url, app), aiohttp.ClientSession() as client:
        assert (await ask(client, url, max_tokens=400))[0] == 200
        (before,) = (await standings(app)).values()
        status, headers, _ = await ask(client, url, max_tokens=400)
        assert (status, "hit" in headers["Cache-Status"]) == (200, True)
        assert set((await standings(app)).values()) == {before}


async def test_limits_a_minute_are_told_in_the_words_of_each_dialect(tmp_path):
    extra = """
keys: [{key: key-of-alice-000001, tenant: acme, requests_per_minute: 3, tokens_per_minute: 100000}]
tenants: {acme: {requests_per_minute: 50}}
"""
    async with gateway(tmp_path, extra) as (url, client, _app):
        _, headers, _ = await ask(client, url)
        assert headers["x-ratelimit-limit-requests"] == "3"
        assert headers["x-ratelimit-remaining-requests"] == "2"
        assert headers["x-ratelimit-limit-tokens"] == "100000"
        assert int(headers["x-ratelimit-remaining-tokens"]) < 100_000
        assert headers["x-ratelimit-reset-requests"].endswith("s")
        body = {"model": SONNET, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
        async with client.post(f"{url}/v1/messages", json=body, headers=ALICE) as reply:
            assert reply.headers["anthropic-ratelimit-requests-remaining"] == "1"
            assert reply.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
        assert (await ask(client, url, stream=True))[0] == 200
        status, headers, _ = await ask(client, url)
        assert status == 429
        assert 1 <= int(headers["Retry-After"]) <= 20
        assert headers["x-ratelimit-remaining-requests"] == "0"
        async with client.post(f"{url}/v1/messages", json=body, headers=ALICE) as reply:
            assert reply.status == 429
            assert reply.headers["anthropic-ratelimit-requests-remaining"] == "0"


async def test_tokens_a_minute_are_settled_by_what_was_used(tmp_path):
    keys = "keys: [{key: key-of-alice-000001, tenant: acme, tokens_per_minute: 1000}]"
    async with gateway(tmp_path, keys, {"simulated": Scripted(TEXT)}) as (url, client, app):
        for _ in range(5):  # each expects up to 900 and uses 17
            status, headers, _ = await ask(client, url, max_tokens=900)
            assert status == 200
            while app.gateway.books.closed < 1:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)
        status, headers, _ = await ask(client, url, max_tokens=10)
        assert status == 200
        assert int(headers["x-ratelimit-remaining-tokens"]) > 800


async def test_an_alert_comes_once_for_each_share(tmp_path):
    received = []

    async def take(request):
        received.append((await request.json(), request.headers["x-hapenny-signature"]))
        return web.Response(status=204)

    there = web.Application()
    there.router.add_post("/hook", take)
    runner = web.AppRunner(there)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    extra = f"""
alerts: {{webhook: "http://127.0.0.1:{port}/hook", secret: s3cret}}
keys: [{{key: key-of-alice-000001, tenant: acme, budgets: [{{tokens: 400, window: day, alert_at: [0.04, 0.1]}}]}}]
"""
    try:
        async with gateway(tmp_path, extra, {"simulated": Scripted(TEXT)}) as (url, client, _app):
            for _ in range(5):
                assert (await ask(client, url, max_tokens=5))[0] == 200
            while len(received) < 2:
                await asyncio.sleep(0.01)
    finally:
        await runner.cleanup()
    assert [alert["detail"]["share"] for alert, _ in received] == [0.04, 0.1]
    assert all(alert["kind"] == "budget" and "acme" not in json.dumps(alert["detail"]) for alert, _ in received)
    assert all(signature.startswith("t=") and ",v1=" in signature for _, signature in received)


async def test_batches_are_paid_by_the_budget_of_whoever_handed_them_in(tmp_path):
    extra = f"""
batch: {{journal: "{tmp_path / "jobs"}", poll_s: 0.05, attempts: 1}}
keys: [{{key: key-of-alice-000001, tenant: acme, budgets: [{{tokens: 160, window: day}}]}}]
"""
    async with gateway(tmp_path, extra, {"simulated": Scripted(TEXT)}) as (url, client, app):
        line = {"method": "POST", "url": "/v1/chat/completions"}
        body = {"model": SONNET, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
        lines = "\n".join(json.dumps({**line, "custom_id": str(n), "body": body}) for n in range(12))
        form = aiohttp.FormData({"purpose": "batch"})
        form.add_field("file", lines.encode(), filename="in.jsonl")
        async with client.post(f"{url}/v1/files", data=form, headers=ALICE) as reply:
            id = (await reply.json())["id"]
        asked = {"input_file_id": id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        async with client.post(f"{url}/v1/batches", json=asked, headers=ALICE) as reply:
            made = await reply.json()
        while made["status"] != "completed":
            await asyncio.sleep(0.02)
            async with client.get(f"{url}/v1/batches/{made['id']}", headers=ALICE) as reply:
                made = await reply.json()
        assert 1 <= made["request_counts"]["completed"] <= 160 // 17
        assert made["request_counts"]["failed"] > 0
        assert (await standings(app)).popitem()[1][0] == 17 * made["request_counts"]["completed"]


PASSED = {
    "audio": ("/v1/audio/transcriptions", None),
    "file": ("/v1/batches", {"input_file_id": "x", "endpoint": "/v1/responses"}),
    "batch": (
        "/v1/messages/batches",
        {"requests": [{"custom_id": "1", "params": {"model": "claude-3-haiku-20240307"}}]},
    ),
    "unknown": ("/v1/responses", {"model": "nobody-knows", "input": "x"}),
    "tools": ("/v1/responses", {"model": "gpt-4o-mini", "input": "x", "tools": [{"type": "web_search"}]}),
    "later": ("/v1/responses", {"model": "gpt-4o-mini", "input": "x", "background": True}),
    "pictures": ("/v1/images/generations", {"model": "gpt-image-1", "prompt": "x"}),
}


@contextlib.asynccontextmanager
async def provider():
    """(URL, what reached it) of a provider that reports usage of Responses."""
    seen = []

    async def answer(request):
        seen.append((request.method, request.path, await request.read()))
        usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
        return web.json_response({"id": "resp_000001", "object": "response", "model": "gpt-4o-mini", "usage": usage})

    async with listening(answer) as base:
        yield base, seen


@pytest.fixture
async def passing(tmp_path):
    """(URL, client, app, what reached the provider) where alice has a budget."""
    async with provider() as (base, seen):
        text = f"""
backends:
  up: {{kind: openai, base_url: "{base}/v1", api_key: sk-x}}
  claude: {{kind: anthropic, base_url: "{base}", api_key: sk-x}}
tiers: {{fast: gpt-4o-mini, strong: gpt-4o}}
ledger: {{path: "{tmp_path / "l.db"}"}}
keys: [{{key: key-of-alice-000001, tenant: acme, budgets: [{{usd: 0.01, window: day}}]}}]
"""
        async with running(load(text=text)) as (url, app), aiohttp.ClientSession() as client:
            yield url, client, app, seen


@pytest.mark.parametrize("name", PASSED)
async def test_what_cannot_be_bounded_does_not_pass_under_a_budget(passing, name):
    url, client, _, seen = passing
    path, body = PASSED[name]
    form = aiohttp.FormData({"model": "whisper-1"})
    form.add_field("file", b"RIFF", filename="a.wav")
    headers = {**ALICE, **({"anthropic-version": "2023-06-01"} if "messages" in path else {})}
    sent = {"json": body} if body is not None else {"data": form}
    async with client.post(url + path, headers=headers, **sent) as reply:
        assert 400 <= reply.status < 500, await reply.text()
    assert seen == []


async def test_what_passes_through_is_metered_and_paid_by_the_budget(passing):
    url, client, app, _seen = passing
    body = {"model": "gpt-4o-mini", "input": "x", "max_output_tokens": 200}
    async with client.post(f"{url}/v1/responses", json=body, headers=ALICE) as reply:
        assert reply.status == 200
        await reply.read()
    while app.gateway.books.closed < 1:
        await asyncio.sleep(0.01)
    (account,) = (await standings(app)).values()
    assert account == (await paid(app, "acme"), 0)
    assert account[0] == 1000 * 150 + 100 * 600  # nano-dollars: 0.15 and 0.60 dollars a million
    async with client.get(f"{url}/v1/responses/resp_000001", headers=ALICE) as reply:
        assert reply.status == 200
    statuses = []
    for _ in range(80):
        async with client.post(f"{url}/v1/responses", json=body, headers=ALICE) as reply:
            statuses.append(reply.status)
            await reply.read()
    assert statuses[-1] == 402
    assert (await standings(app)).popitem()[1][0] <= 0.01 * NANO


async def test_budgets_stand_in_metrics_and_outlive_a_restart(tmp_path):
    keys = "keys: [{key: key-of-alice-000001, tenant: acme, scopes: [call, metrics], budgets: [{tokens: 500}]}]"
    async with gateway(tmp_path, keys, {"simulated": Scripted(TEXT)}) as (url, client, app):
        assert (await ask(client, url, max_tokens=5))[0] == 200
        assert next(iter((await standings(app)).values())) == (17, 0)
        async with client.get(f"{url}/metrics", headers=ALICE) as reply:
            text = await reply.text()
        assert 'hapenny_budget_spent{account="key:' in text
        assert 'hapenny_tenant_requests_total{outcome="delivered",tenant="acme"} 1.0' in text
    async with gateway(tmp_path, keys, {"simulated": Scripted(TEXT)}) as (_, _, app):
        assert next(iter((await standings(app)).values())) == (17, 0)


async def test_who_has_no_money_does_not_fail_others_who_ask_the_same(tmp_path):
    extra = """
keys:
  - {key: key-of-alice-000001, tenant: acme, budgets: [{tokens: 10}]}
  - {key: key-of-bob-0000000002, tenant: acme}
"""
    text = f"""
backends: {{simulated: {{kind: simulated}}}}
routes: {{default: {{holdout: 0, cache_any_temperature: true}}}}
ledger: {{path: "{tmp_path / "l.db"}"}}
{extra}"""
    async with running(load(text=text)) as (url, _), aiohttp.ClientSession() as client:
        for number in range(5):
            both = [ask(client, url, key, text=f"{number}?", max_tokens=400) for key in (ALICE, BOB)]
            assert [status for status, _, _ in await asyncio.gather(*both)] == [402, 200]


async def test_vectors_are_paid_by_the_budget(tmp_path):
    keys = "keys: [{key: key-of-alice-000001, tenant: acme, budgets: [{usd: 0.000002, window: day}]}]"
    async with gateway(tmp_path, keys) as (url, client, app):
        body = {"model": "amazon.titan-embed-text-v2:0", "input": "What is a toll?"}
        statuses = []
        for number in range(40):
            sent = {**body, "input": f"{number} {body['input']}"}
            async with client.post(f"{url}/v1/embeddings", json=sent, headers=ALICE) as reply:
                statuses.append(reply.status)
        assert statuses[0] == 200
        assert statuses[-1] == 402
        (account,) = (await standings(app)).values()
        assert account == (await paid(app, "acme"), 0)
        assert account[0] <= 0.000002 * NANO


@pytest.mark.parametrize("store", ["", "store: %s/keys.json"])
async def test_what_is_no_ledger_is_not_named_like_one(tmp_path, store):
    """Who collects `*.db` as ledgers leaves out `*.state.db`, and nothing else has to be known."""
    keys = "keys: [{key: key-of-alice-000001, tenant: acme, budgets: [{usd: 5, window: day}]}]"
    extra = f"{keys}\nadmission: {{{store.replace('%s', str(tmp_path))}}}"
    async with gateway(tmp_path, extra) as (url, client, _):
        await ask(client, url)
    names = {path.name for path in tmp_path.glob("*.db") if not path.name.endswith(".state.db")}
    assert names == {"ledger.db"}
