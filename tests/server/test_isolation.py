"""Tenants apart in the provider's prompt cache, where `isolate_prompt_cache` says so."""

import aiohttp
import pytest

from hapenny.config import load
from tests.server.house import running

HAIKU = "anthropic.claude-3-5-haiku-20241022-v1:0"
CONFIG = """
backends: {simulated: {kind: simulated}}
routes: {default: {holdout: %s, preset: safe}}
ledger: {path: "%s"}
fingerprint_key: a-secret-of-the-deployment
isolate_prompt_cache: %s
keys: [{key: key-of-alice-000001, tenant: a}, {key: key-of-bob-0000000002, tenant: b}]
"""
SECRET = "Internal memo: the merger with Contoso closes on 4 May. " * 1200
TOOL = {
    "name": "look", "description": SECRET, "input_schema": {"type": "object", "properties": {}},
    "cache_control": {"type": "ephemeral"},
}  # fmt: skip


def in_system(text):
    return {"system": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]}


def in_tools(text):
    return {"tools": [{**TOOL, "description": text}]}


def in_turns(text):
    marked = {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
    return {"messages": [{"role": "user", "content": [marked, {"type": "text", "text": "?"}]}]}


async def read(client, url, key, part):
    """Tokens that the provider says it had cached."""
    body = {"model": HAIKU, "max_tokens": 10, "messages": [{"role": "user", "content": "?"}], **part}
    async with client.post(f"{url}/v1/messages", json=body, headers={"x-api-key": key}) as reply:
        assert reply.status == 200, await reply.text()
        return (await reply.json())["usage"].get("cache_read_input_tokens", 0)


@pytest.mark.parametrize("holdout", [0, 1])
@pytest.mark.parametrize("where", [in_system, in_tools, in_turns])
async def test_nobody_learns_of_anothers_prefix_and_everybody_keeps_their_own(tmp_path, where, holdout):
    text = CONFIG % (holdout, tmp_path / "l.db", "true")
    async with running(load(text=text)) as (url, _), aiohttp.ClientSession() as client:
        assert await read(client, url, "key-of-alice-000001", where(SECRET)) == 0
        assert await read(client, url, "key-of-bob-0000000002", where(SECRET)) == 0
        assert await read(client, url, "key-of-alice-000001", {**where(SECRET), "temperature": 0.5}) > 1_000


async def test_without_it_the_prefix_is_shared_as_the_security_page_says(tmp_path):
    text = CONFIG % (0, tmp_path / "l.db", "false")
    async with running(load(text=text)) as (url, _), aiohttp.ClientSession() as client:
        await read(client, url, "key-of-alice-000001", in_system(SECRET))
        assert await read(client, url, "key-of-bob-0000000002", in_system(SECRET)) > 1_000


async def test_its_cost_is_booked_to_it(tmp_path):
    text = CONFIG % (0, tmp_path / "l.db", "true")
    async with running(load(text=text)) as (url, app), aiohttp.ClientSession() as client:
        body = {"model": HAIKU, "max_tokens": 10, "messages": [{"role": "user", "content": "?"}]}
        async with client.post(f"{url}/v1/messages", json=body, headers={"x-api-key": "key-of-alice-000001"}) as reply:
            id = reply.headers["x-request-id"]
        await app.gateway.settled()
        row = await app.gateway.ledger.get(id)
        assert row.savings["isolation"] < 0
        assert app.gateway.books.violations == 0
