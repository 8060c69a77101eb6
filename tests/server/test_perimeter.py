"""Who may reach a gateway at all, over HTTP: names, origins, keys, scopes, metrics, preflights."""

import json

import aiohttp
import pytest

from hapenny.config import ConfigError, load
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App
from hapenny.server.perimeter import Perimeter, beyond_loopback
from tests.server.house import Scripted, running, serving

BODY = {"model": "fast", "messages": [{"role": "user", "content": "What is the toll?"}]}
KEYS = """
keys:
  - {key: key-of-a-caller, tenant: a}
  - {key: key-of-prometheus, tenant: ops, scopes: [metrics]}
"""


async def status(url: str, path: str = "/v1/chat/completions", method: str = "POST", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps(BODY) if method == "POST" else None
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url + path, data=body, headers=named) as answer,
    ):
        return answer.status


@pytest.mark.parametrize(
    ("host", "right"),
    [
        ("localhost:8790", 200), ("127.0.0.1", 200), ("10.1.2.3:80", 200), ("[::1]:8790", 200), ("gateway", 200),
        ("api.example.com", 200), ("API.example.com:443", 200), ("evil.example", 403), ("evil.example.", 403),
        ("127.0.0.1.evil.example", 403), ("1.2.3", 403), ("localhost.evil.example:8790", 403),
    ],
)  # fmt: skip
async def test_an_open_gateway_answers_under_names_that_are_its_own(tmp_path, host, right):
    async with serving(tmp_path, Scripted(), extra="server: {hosts: [api.example.com]}") as (url, _):
        assert await status(url, Host=host) == right


async def test_pages_of_other_sites_may_not_use_an_open_gateway(tmp_path):
    extra = "server: {cors_origins: ['https://app.example.com']}"
    async with serving(tmp_path, Scripted(), extra=extra) as (url, _):
        assert await status(url, Origin=url) == 200
        assert await status(url, Origin="https://app.example.com") == 200
        for origin in ("http://evil.example", "null", "https://app.example.com.evil.example", "http://app.example.com"):
            assert await status(url, Origin=origin, Content_Type="text/plain") == 403
            assert await status(url, "/v1/models", "GET", Origin=origin) == 403


async def test_where_keys_are_needed_they_are_the_door(tmp_path):
    async with serving(tmp_path, Scripted(), extra=KEYS) as (url, _):
        bearer = {"Authorization": "Bearer key-of-a-caller"}
        assert await status(url, Host="any.example", Origin="http://evil.example", **bearer) == 200
        assert await status(url, Host="any.example") == 401


async def test_browsers_are_told_which_pages_may_call(tmp_path):
    extra = "server: {cors_origins: ['https://app.example.com']}" + KEYS
    async with serving(tmp_path, Scripted(), extra=extra) as (url, _), aiohttp.ClientSession() as session:
        asked = {
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
        }
        async with session.options(url + "/v1/chat/completions", headers=asked) as answer:
            assert answer.status == 204
            assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
            assert answer.headers["access-control-allow-headers"] == asked["Access-Control-Request-Headers"]
            assert "POST" in answer.headers["access-control-allow-methods"]
        async with session.options(url + "/v1/messages", headers=asked | {"Origin": "http://evil.example"}) as answer:
            assert answer.status == 403
            assert "access-control-allow-origin" not in answer.headers
        for key, right in (("key-of-a-caller", 200), ("wrong-key-of-all", 401)):
            headers = {"Origin": "https://app.example.com", "Authorization": f"Bearer {key}"}
            async with session.post(url + "/v1/chat/completions", json=BODY, headers=headers) as answer:
                assert answer.status == right
                assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
                assert "x-request-id" in answer.headers["access-control-expose-headers"]
                assert answer.headers["vary"] == "origin"
        async with session.post(url + "/v1/chat/completions", json=BODY) as answer:
            assert "access-control-allow-origin" not in answer.headers


async def test_options_without_a_browser(tmp_path):
    async with (
        serving(tmp_path, Scripted()) as (url, _),
        aiohttp.ClientSession() as session,
        session.options(url + "/v1/messages") as answer,
    ):
        assert (answer.status, "POST" in answer.headers["allow"]) == (204, True)


async def test_metrics_need_a_scope_or_the_right_address(tmp_path):
    async with serving(tmp_path, Scripted(), extra=KEYS) as (url, _):
        for key, right in ((None, 401), ("key-of-a-caller", 403), ("key-of-prometheus", 200)):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            assert await status(url, "/metrics", "GET", **headers) == right
        assert await status(url, Authorization="Bearer key-of-prometheus") == 403  # and that key opens nothing else
    near = "server: {metrics_from: [10.0.0.0/8, 127.0.0.0/8]}" + KEYS
    async with serving(tmp_path, Scripted(), extra=near) as (url, _):
        assert await status(url, "/metrics", "GET") == 200
        assert await status(url, "/v1/models", "GET") == 401
    far = "server: {metrics_from: [10.0.0.7]}" + KEYS
    async with serving(tmp_path, Scripted(), extra=far) as (url, _):
        assert await status(url, "/metrics", "GET") == 401


async def test_metrics_tell_what_passed_requests_are_about_and_not_whose(tmp_path):
    text = 'ledger: null\nbackends: {up: {kind: openai, base_url: "http://127.0.0.1:9"}}\ntiers: {fast: m, strong: m}'
    async with running(load(text=text), {"up": Scripted()}) as (url, _), aiohttp.ClientSession() as session:
        for path in ("/v1/responses/resp_0123456789SECRET", "/v1/files/file-SECRET/content"):
            async with session.get(url + path) as answer:
                assert answer.status == 200
        async with session.get(url + "/metrics") as answer:
            text = await answer.text()
        assert "SECRET" not in text
        assert 'model="/responses"' in text
        assert 'model="/files"' in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {metrics_from: [somewhere]}", "metrics_from"),
        ("server: {cors_origins: [app.example.com]}", "cors_origins"),
        ("server: {head_s: 0}", "head_s"),
        ("server: {buffered_mb: 1}", "buffered_mb"),
        ("server: {port: 70000}", "port"),
        ("routes: {default: {head_after_s: -1}}", "head_after_s"),
    ],
)
def test_what_is_no_option_is_refused_with_the_fix(text, problem):
    with pytest.raises(ConfigError) as error:
        load(text=text)
    assert any(problem in each and "Fix:" in each for each in error.value.problems)


async def test_without_keys_nobody_else_can_reach_it(tmp_path):
    async def listens(text: str) -> str:
        gateway = Gateway(load(text=f"ledger: null\nserver: {{host: 0.0.0.0, port: 0}}\n{text}"))
        await gateway.start()
        app = App(gateway)
        await app.start()
        await app.stop()
        return app.host

    assert await listens("") == "127.0.0.1"
    assert await listens("auth: open") == "0.0.0.0"
    assert await listens("keys: [{key: key-of-a-caller}]") == "0.0.0.0"


async def test_a_port_that_is_taken_is_said_with_the_fix(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, _):
        port = int(url.rpartition(":")[2])
        second = App(Gateway(load(text="ledger: null")))
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port} cannot be listened on: Address already in use. Fix:"):
            await second.start("127.0.0.1", port)
        await second.stop()


@pytest.mark.parametrize(
    ("host", "beyond"),
    [("127.0.0.1", False), ("127.9.9.9", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("::", True),
     ("10.0.0.1", True), ("gateway.example", True)],
)  # fmt: skip
def test_addresses_that_others_can_reach(host, beyond):
    assert beyond_loopback(host) == beyond


def test_addresses_without_a_key_are_networks():
    rules = Perimeter(False, metrics_from=["10.0.0.0/8", "fd00::/8"])
    assert [rules.metrics(peer) for peer in ("10.9.9.9", "11.0.0.1", "fd00::1", "", "nonsense")] == [
        True, False, True, False, False,
    ]  # fmt: skip
