"""The admin API: keys, tenants, budgets and the switch, of a scope of its own."""

import asyncio
import contextlib

import aiohttp
import boto3
import botocore.config
import pytest

from hapenny.config import load
from tests.server.house import TEXT, Scripted, running
from tests.server.test_budgets import SONNET, ask
from tests.server.test_passing import off_loop

ADMIN = {"authorization": "Bearer key-of-the-admin"}
CONFIG = """
backends: {simulated: {kind: simulated}}
routes: {default: {preset: demo, holdout: 0, cache_any_temperature: true}, other: {}}
ledger: {path: "%s"}
admission: {sealing_key: a-secret-of-the-operator, refresh_s: 0.02}
tenants: {fixed: {budgets: [{usd: 1}]}}
keys:
  - {key: key-of-the-admin, tenant: ops, scopes: [admin]}
  - {key: key-of-a-caller, tenant: acme}
"""


@contextlib.asynccontextmanager
async def gateway(tmp_path, backends=None):
    config = load(text=CONFIG % (tmp_path / "ledger.db"))
    async with running(config, backends) as (url, app), aiohttp.ClientSession() as client:
        yield url, client, app


async def send(client, url, method, path, body=None, key=ADMIN):
    async with client.request(method, f"{url}/v1/admin/{path}", json=body, headers=key) as reply:
        return reply.status, await reply.json()


def bearer(key):
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("key", [{}, bearer("key-of-a-caller"), bearer("hk-nobody")])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "keys"), ("POST", "keys"), ("GET", "keys/x"), ("DELETE", "keys/x"), ("POST", "keys/x/rotate"),
        ("GET", "budgets"), ("GET", "tenants"), ("PUT", "tenants/x"), ("GET", "pause"), ("POST", "pause"),
        ("POST", "resume"), ("GET", "log"),
    ],
)  # fmt: skip
async def test_only_a_key_of_scope_admin_opens_it(tmp_path, key, method, path):
    async with gateway(tmp_path) as (url, client, app):
        status, _ = await send(client, url, method, path, {} if method in ("POST", "PUT") else None, key)
        assert status in (401, 403)
        assert await app.gateway.registry.log.newest() == []
        assert (await ask(client, url, ADMIN))[0] == 403  # nor does it open anything else


async def test_it_is_closed_where_nobody_needs_a_key(tmp_path):
    text = f'backends: {{simulated: {{kind: simulated}}}}\nledger: {{path: "{tmp_path / "l.db"}"}}\n'
    async with running(load(text=text)) as (url, _), aiohttp.ClientSession() as client:
        assert (await send(client, url, "POST", "keys", {}, {}))[0] == 403
        assert (await ask(client, url, {}))[0] == 200


async def test_a_key_lives_from_its_making_to_its_end(tmp_path):
    async with gateway(tmp_path) as (url, client, _):
        wanted = {"tenant": "acme", "name": "app", "models": [SONNET], "requests_per_minute": 100}
        status, made = await send(client, url, "POST", "keys", wanted)
        assert status == 201
        assert (await ask(client, url, bearer(made["key"])))[0] == 200
        assert (await ask(client, url, bearer(made["key"]), model="strong"))[0] == 403
        _, shown = await send(client, url, "GET", f"keys/{made['id']}")
        assert (shown["state"], shown["name"]) == ("active", "app")
        assert made["key"] not in str(shown)
        _, fresh = await send(client, url, "POST", f"keys/{made['id']}/rotate", {"overlap_s": 0})
        assert (await ask(client, url, bearer(made["key"])))[0] == 401
        assert (await ask(client, url, bearer(fresh["key"])))[0] == 200
        assert (await send(client, url, "DELETE", f"keys/{made['id']}"))[1]["state"] == "revoked"
        assert (await ask(client, url, bearer(fresh["key"])))[0] == 401
        assert [each["state"] for each in (await send(client, url, "GET", "keys"))[1]["keys"]] == ["revoked"]
        _, log = await send(client, url, "GET", "log")
        assert [each["action"] for each in log["entries"]] == ["revoke key", "rotate key", "create key"]
        assert log["whole"] is True
        assert made["key"] not in str(log)
        assert fresh["key"] not in str(log)


@pytest.mark.parametrize(
    "wanted",
    [
        {"scopes": []}, {"scopes": ["root"]}, {"priority": 101}, {"expires_in": -1}, {"budgets": [{}]},
        {"budgets": [{"usd": 1, "window": "century"}]}, {"routes": ["nowhere"]}, {"unknown": 1}, {"tenant": ""},
        {"requests_per_minute": 0}, [1],
    ],
)  # fmt: skip
async def test_what_can_be_no_key_is_refused(tmp_path, wanted):
    async with gateway(tmp_path) as (url, client, app):
        assert (await send(client, url, "POST", "keys", wanted))[0] == 400
        assert app.gateway.registry.records() == []


async def test_an_aws_client_signs_with_a_pair(tmp_path):
    async with gateway(tmp_path) as (url, client, _):
        _, pair = await send(client, url, "POST", "keys", {"tenant": "acme", "aws": True})

        def converse(secret):
            with contextlib.ExitStack() as stack:
                runtime = boto3.client(
                    "bedrock-runtime", region_name="us-east-1", endpoint_url=url,
                    aws_access_key_id=pair["access_key"], aws_secret_access_key=secret,
                    config=botocore.config.Config(retries={"total_max_attempts": 1}),
                )  # fmt: skip
                stack.callback(runtime.close)
                turn = [{"role": "user", "content": [{"text": "x"}]}]
                return runtime.converse(modelId=SONNET, messages=turn)["ResponseMetadata"]["HTTPStatusCode"]

        assert await off_loop(lambda: converse(pair["key"])) == 200
        with pytest.raises(Exception, match="AccessDenied"):
            await off_loop(lambda: converse(pair["key"] + "x"))
        await send(client, url, "DELETE", f"keys/{pair['id']}")
        with pytest.raises(Exception, match="AccessDenied"):
            await off_loop(lambda: converse(pair["key"]))


async def test_budgets_of_tenants_can_be_set_and_read(tmp_path):
    async with gateway(tmp_path, {"simulated": Scripted(TEXT)}) as (url, client, app):
        status, _ = await send(client, url, "PUT", "tenants/acme", {"budgets": [{"tokens": 300, "window": "day"}]})
        assert status == 200
        assert (await send(client, url, "PUT", "tenants/fixed", {}))[0] == 409
        _, tenants = await send(client, url, "GET", "tenants")
        assert {name: each["configured"] for name, each in tenants["tenants"].items()} == {"acme": False, "fixed": True}
        caller = bearer("key-of-a-caller")
        assert (await ask(client, url, caller, max_tokens=5))[0] == 200
        assert (await ask(client, url, caller, text="Another one?", max_tokens=500))[0] == 402
        while app.gateway.books.closed < 1:
            await asyncio.sleep(0.01)
        _, shown = await send(client, url, "GET", "budgets")
        standing = {each["account"]: (each["spent"], each["reserved"], each["limit"]) for each in shown["budgets"]}
        assert standing == {"tenant:acme/tokens/day": (17, 0, 300), "tenant:fixed/usd/month": (0, 0, 1)}


async def test_pausing_turns_saving_off_at_once_and_lasts_over_a_restart(tmp_path):
    backend = Scripted(TEXT)
    caller = bearer("key-of-a-caller")
    async with gateway(tmp_path, {"simulated": backend}) as (url, client, _):
        for _ in range(3):
            assert (await ask(client, url, caller, model="auto"))[0] == 200
        asked = len(backend.asked)
        assert asked < 3  # the others were cached
        status, state = await send(client, url, "POST", "pause", {"reason": "an incident"})
        assert (status, state["paused"], state["survives_restart"]) == (200, True, True)
        for _ in range(2):
            _, headers, _ = await ask(client, url, caller, model="auto")
            assert "paused" in headers["x-hapenny-notes"]
        assert len(backend.asked) == asked + 2
        assert backend.asked[-1][1].model == SONNET  # the route's baseline, not a cheaper tier
    async with gateway(tmp_path, {"simulated": backend}) as (url, client, _):
        assert (await send(client, url, "GET", "pause"))[1]["reason"] == "an incident"
        await ask(client, url, caller, model="auto")
        assert (await send(client, url, "POST", "resume"))[1]["paused"] is False
        _, headers, _ = await ask(client, url, caller, model="auto")
        assert "paused" not in headers.get("x-hapenny-notes", "")


async def test_another_process_follows(tmp_path):
    from hapenny.admission.records import NewKey, Seal
    from hapenny.admission.registry import Registry
    from hapenny.core.clock import RealClock
    from hapenny.stores.open_kv import open_kv

    clock = RealClock()
    async with gateway(tmp_path) as (url, client, app):
        other = Registry(open_kv(app.gateway.config.admission_store(), clock), clock, Seal(""), lasting=True)
        await other.load()
        minted = await other.create(NewKey(tenant="acme"), "cli:op")
        while (await ask(client, url, bearer(minted.key)))[0] != 200:
            await asyncio.sleep(0.01)
        await other.revoke(minted.id, "cli:op")
        while (await ask(client, url, bearer(minted.key)))[0] == 200:
            await asyncio.sleep(0.01)
        await other.aclose()


async def test_without_a_ledger_the_switch_says_that_it_does_not_last(tmp_path):
    text = "backends: {simulated: {kind: simulated}}\nledger: null\nkeys: [{key: key-of-the-admin, scopes: [admin]}]\n"
    async with running(load(text=text)) as (url, _), aiohttp.ClientSession() as client:
        status, state = await send(client, url, "POST", "pause")
        assert (status, state["paused"], state["survives_restart"]) == (200, True, False)
