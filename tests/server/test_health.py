"""Health over HTTP: alive, ready, degraded with reasons for insiders, unavailable, draining."""

import aiohttp

from hapenny.core.errors import Failure, account_refused
from tests.server.house import Scripted, serving

DOWN = "tiers: {fast: anthropic.claude-3-haiku-20240307-v1:0, strong: anthropic.claude-3-sonnet-20240229-v1:0}"
STAGES = """
stages: {throughput: {breaker: {failures: 2, probe_s: 60, longest_s: 60}, retry: {tries: 1}}}
keys: [{key: key-of-a-caller}, {key: key-of-an-operator, scopes: [call, metrics]}]
"""


async def health(session, url, key=None, path="/health"):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with session.get(url + path, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_ready_needs_no_key_and_reasons_do(tmp_path):
    backend = Scripted(failure=Failure("upstream", "the provider is down", retryable=True))
    async with serving(tmp_path, backend, extra=DOWN + STAGES) as (url, _), aiohttp.ClientSession() as session:
        for path in ("/health", "/health/ready"):
            status, shown = await health(session, url, path=path)
            assert (status, shown["status"]) == (200, "ready")
        assert await health(session, url, path="/health/live") == (200, {"status": "alive"})
        async with session.head(url + "/") as answer:
            assert answer.status == 200

        async def fail(model: str) -> None:
            for number in range(2):
                body = {"model": model, "messages": [{"role": "user", "content": f"hi {number}"}]}
                headers = {"Authorization": "Bearer key-of-a-caller"}
                async with session.post(url + "/v1/chat/completions", json=body, headers=headers) as answer:
                    assert answer.status >= 500

        await fail("fast")
        status, shown = await health(session, url)
        assert (status, shown["status"], "reasons" in shown) == (200, "degraded", False)
        _, shown = await health(session, url, "key-of-a-caller")
        assert "reasons" not in shown
        _, shown = await health(session, url, "key-of-an-operator")
        assert shown["reasons"] == ["anthropic.claude-3-haiku-20240307-v1:0 is not reachable"]
        await fail("strong")
        status, shown = await health(session, url)
        assert (status, shown["status"]) == (503, "unavailable")


async def test_an_account_that_a_provider_refuses_degrades_and_no_more(tmp_path):
    """No restart and no other process would mend it."""
    backend = Scripted(failure=account_refused("add credit", upstream_status=429))
    async with serving(tmp_path, backend, extra=DOWN) as (url, _), aiohttp.ClientSession() as session:
        for model in ("fast", "strong"):
            body = {"model": model, "messages": [{"role": "user", "content": "What is the toll?"}]}
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                assert answer.status == 503
        status, shown = await health(session, url)
        assert (status, shown["status"]) == (200, "degraded")
        assert shown["reasons"][0].endswith("the provider refuses the gateway's account")


async def test_draining_is_said(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, app), aiohttp.ClientSession() as session:
        app.services.draining = True
        assert (await health(session, url))[0] == 503
        assert (await health(session, url, path="/health/live"))[0] == 200
