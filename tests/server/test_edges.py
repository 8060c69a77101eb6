"""What comes from outside is never trusted, and nothing is lost."""

import asyncio
import json
import subprocess
import sys

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hapenny.config import load
from tests.server.house import Scripted, running, serving

PATHS = [
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/model/anthropic.claude-3-sonnet/converse",
    "/model/anthropic.claude-3-sonnet/converse-stream",
    "/model/anthropic.claude-3-sonnet/invoke",
    "/model/anthropic.claude-3-sonnet/invoke-with-response-stream",
    "/model/anthropic.claude-3-sonnet/count-tokens",
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
near_requests = st.fixed_dictionaries(
    {},
    optional={
        "model": st.just("strong") | json_values,
        "messages": st.just([{"role": "user", "content": "What is the toll?"}]) | json_values,
        "max_tokens": st.just(9) | json_values,
        "system": json_values,
        "tools": json_values,
        "stream": json_values,
        "inferenceConfig": json_values,
        "input": json_values,
    },
)
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda v: json.dumps(v).encode())
    | near_requests.map(lambda v: json.dumps(v).encode())
)


@pytest.mark.parametrize("path", PATHS)
async def test_any_bytes_as_a_body_give_a_4xx_in_the_clients_protocol(tmp_path, path):
    async with serving(tmp_path, Scripted()) as (url, _), aiohttp.ClientSession() as session:
        found = []

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(bodies)
        def collect(body):
            found.append(body)

        collect()
        for body in found:
            async with session.post(url + path, data=body) as answer:
                text = await answer.text(errors="replace")
                assert answer.status < 500, (body, text)
                assert "Traceback" not in text
                if answer.status >= 400 and path.startswith("/v1/"):
                    assert json.loads(text)["error"]["message"]
                elif answer.status >= 400:
                    assert "x-amzn-ErrorType" in answer.headers
                    assert json.loads(text)["message"]


async def test_25_mb_pass_and_more_than_the_limit_is_413(tmp_path):
    backend = Scripted()
    async with serving(tmp_path, backend, extra="server: {max_body_mb: 30}") as (url, _):
        async with aiohttp.ClientSession() as session:
            for megabytes, status in ((25, 200), (31, 413)):
                content = "a" * (megabytes * 1_000_000)
                body = json.dumps({"model": "strong", "messages": [{"role": "user", "content": content}]}).encode()
                async with session.post(url + "/v1/chat/completions", data=body) as answer:
                    assert answer.status == status
                    if status == 413:
                        assert "30 MB" in (await answer.json())["error"]["message"]
        assert len(backend.asked) == 1


async def test_two_thousand_streams_at_once_leave_nothing_behind(tmp_path):
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    backend = Scripted(pause=0.05)
    count = 2000
    async with serving(tmp_path, backend, preset="safe") as (url, app):
        before = len(asyncio.all_tasks())
        host, port = url.removeprefix("http://").split(":")
        body = {"model": "strong", "stream": True}

        async def stream(number):
            reader, writer = await asyncio.open_connection(host, int(port))
            messages = [{"role": "user", "content": f"hi {number}"}]
            data = json.dumps({**body, "messages": messages}).encode()
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data
            )
            seen = await reader.read()
            writer.close()
            return b"data: [DONE]" in seen and b"penny." in seen

        done = await asyncio.gather(*[stream(number) for number in range(count)])
        assert sum(done) == count
        assert backend.open == 0
        assert backend.closed == count
        for _ in range(100):
            if len(asyncio.all_tasks()) <= before + 2 and not app.services.active:
                break
            await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) <= before + 2
        assert app.services.active == 0


async def test_keys_decide_the_tenant_and_nothing_else_does(tmp_path):
    keys = """
keys:
  - {key: key-of-tenant-a, tenant: a, sigv4_access_key: AKIAA}
  - {key: key-of-tenant-b, tenant: b, models: [fast]}
"""
    backend = Scripted()
    async with serving(tmp_path, backend, extra=keys) as (url, _), aiohttp.ClientSession() as session:
        body = {"model": "fast", "messages": [{"role": "user", "content": "What is the toll?"}]}

        async def ask(key=None, **more):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            headers["x-hapenny-tenant"] = "a"
            async with session.post(url + "/v1/chat/completions", json={**body, **more}, headers=headers) as answer:
                return answer.status, answer.headers.get("Cache-Status", ""), answer.headers.get("x-request-id")

        assert (await ask())[0] == 401
        assert (await ask("nobody-knows-it"))[0] == 401
        status, cache, request_id = await ask("key-of-tenant-a")
        assert (status, "hit" in cache) == (200, False)
        assert "hit" in (await ask("key-of-tenant-a"))[1]
        assert "hit" not in (await ask("key-of-tenant-b"))[1]
        assert (await ask("key-of-tenant-b", model="strong"))[0] == 403
        for key, status in (("key-of-tenant-a", 200), ("key-of-tenant-b", 404)):
            headers = {"Authorization": f"Bearer {key}"}
            async with session.get(f"{url}/v1/requests/{request_id}", headers=headers) as answer:
                assert answer.status == status


async def test_an_aws_client_may_sign_with_a_key_of_ours(tmp_path):
    import boto3
    import botocore.exceptions

    keys = "keys: [{key: the-secret-of-a, tenant: a, sigv4_access_key: AKIAA}]"
    async with serving(tmp_path, Scripted(), extra=keys) as (url, _):

        def converse(secret):
            client = boto3.client(
                "bedrock-runtime", region_name="eu-west-1", endpoint_url=url,
                aws_access_key_id="AKIAA", aws_secret_access_key=secret,
            )  # fmt: skip
            messages = [{"role": "user", "content": [{"text": "What is the toll?"}]}]
            return client.converse(
                modelId="arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0",
                messages=messages,
            )

        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(None, converse, "the-secret-of-a")
        assert answer["output"]["message"]["content"][0]["text"] == "Half a penny."
        with pytest.raises(botocore.exceptions.ClientError):
            await loop.run_in_executor(None, converse, "another-secret")


async def test_paths_we_do_not_know_pass_through_metered_and_unpriced(tmp_path):
    text = 'backends: {up: {kind: openai, base_url: "http://127.0.0.1:9"}}\ntiers: {fast: m, strong: m}\n'
    text += f"ledger: {{path: {tmp_path / 'ledger.db'}}}"
    async with running(load(text=text), {"up": Scripted()}) as (url, app), aiohttp.ClientSession() as session:
        async with session.post(url + "/v1/moderations?x=1", data=b"{}") as answer:
            assert await answer.text() == "POST /v1/moderations?x=1 {}"
            request_id = answer.headers["x-request-id"]
        await asyncio.sleep(0.05)
        row = await app.gateway.ledger.get(request_id)
        assert row.outcome == "delivered"
        assert row.actual is None


async def test_health_models_metrics_and_unknown_pages(tmp_path):
    async with serving(tmp_path, Scripted()) as (url, app), aiohttp.ClientSession() as session:
        for path in ("/health/live", "/health/ready", "/metrics", "/v1/models"):
            async with session.get(url + path) as answer:
                assert answer.status == 200, path
        async with session.get(url + "/v1/models") as answer:
            assert {"auto", "fast", "strong"} <= {model["id"] for model in (await answer.json())["data"]}
        async with session.get(url + "/nowhere") as answer:
            assert answer.status == 404
        async with session.get(url + "/v1/chat/completions") as answer:
            assert (answer.status, answer.headers["allow"]) == (405, "POST")
        app.services.draining = True
        async with session.get(url + "/health/ready") as answer:
            assert answer.status == 503


async def test_swapping_the_gateway_keeps_answers_and_ends_streams_in_peace(tmp_path):
    from hapenny.gateway.gateway import Gateway

    backend = Scripted(pause=0.1)
    async with serving(tmp_path, backend) as (url, app), aiohttp.ClientSession() as session:
        body = {"model": "strong", "messages": [{"role": "user", "content": "What is the toll?"}]}
        running = asyncio.create_task(_text(session, url, body))
        await asyncio.sleep(0.2)
        fresh = Gateway(app.gateway.config, backends={"simulated": backend}, previous=app.gateway)
        await app.swap(fresh)
        assert await running == (200, False)
        assert await _text(session, url, body) == (200, True)


async def _text(session, url, body):
    async with session.post(url + "/v1/chat/completions", json=body) as answer:
        await answer.read()
        return answer.status, "hit" in answer.headers["Cache-Status"]


def test_serve_drains_on_sigterm_and_reloads_on_sighup(tmp_path):
    import signal
    import urllib.request

    path = tmp_path / "hapenny.yaml"
    text = "server: {port: 0}\nledger: {path: '%s'}\nroutes: {default: {preset: demo}}\n" % (tmp_path / "l.db")
    path.write_text(text)
    command = [sys.executable, "-m", "hapenny", "serve", "-c", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{url}/v1/models") as answer:
            assert "bridge" not in answer.read().decode()
        path.write_text(text + "nonsense: 1\n")
        process.send_signal(signal.SIGHUP)
        assert "nonsense" in process.stderr.readline()
        path.write_text(text + "aliases: {bridge: strong}\n")
        process.send_signal(signal.SIGHUP)
        assert "reloaded" in process.stderr.readline()
        with urllib.request.urlopen(f"{url}/v1/models") as answer:
            assert "bridge" in answer.read().decode()
        body = json.dumps(
            {"model": "fast", "messages": [{"role": "user", "content": "What is the toll?"}], "max_tokens": 5}
        ).encode()
        with urllib.request.urlopen(f"{url}/v1/chat/completions", data=body) as answer:
            assert json.load(answer)["choices"][0]["finish_reason"] == "length"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    import sqlite3

    assert sqlite3.connect(tmp_path / "l.db").execute("select count(*) from requests").fetchone() == (1,)
