"""Erasing what was kept of a user's texts, over HTTP and from the command line."""

import asyncio

import aiohttp
from click.testing import CliRunner

from hapenny.cli.main import main
from tests.server.house import serving

KEPT = """
content:
  path: "%s/content.db"
  options: {key: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", sample: 1, routes: [default]}
"""


async def ask(session, url, user):
    body = {
        "model": "strong",
        "user": user,
        "messages": [{"role": "user", "content": f"Where is the parcel of {user}?"}],
    }
    async with session.post(url + "/v1/chat/completions", json=body) as answer:
        assert answer.status == 200


async def erased(session, url, user):
    async with session.delete(f"{url}/v1/users/{user}/content") as answer:
        return answer.status, await answer.json()


async def test_a_user_s_texts_are_erased_and_no_one_else_s(tmp_path):
    async with (
        serving(tmp_path, extra=KEPT % tmp_path) as (url, app),
        aiohttp.ClientSession() as session,
    ):
        for user in ("ann", "ann", "ben"):
            await ask(session, url, user)
        await app.gateway.settled()
        assert await erased(session, url, "ann") == (200, {"erased": 2})
        assert await erased(session, url, "ann") == (200, {"erased": 0})
        assert await erased(session, url, "ben") == (200, {"erased": 1})


async def test_where_nothing_is_kept_that_is_said(tmp_path):
    async with serving(tmp_path) as (url, _), aiohttp.ClientSession() as session:
        status, body = await erased(session, url, "ann")
    assert status == 404
    assert "keeps no texts" in body["error"]["message"]


async def test_the_command_erases_what_a_gateway_kept(tmp_path):
    async with serving(tmp_path, extra=KEPT % tmp_path) as (url, app), aiohttp.ClientSession() as session:
        await ask(session, url, "ann")
        await app.gateway.settled()
    file = tmp_path / "hapenny.yaml"
    file.write_text(f"backends: {{simulated: {{kind: simulated}}}}\n{KEPT % tmp_path}")
    arguments = ["content", "erase", "-c", str(file), "--user", "ann"]
    run = await asyncio.to_thread(CliRunner().invoke, main, arguments)
    assert run.exit_code == 0, run.output
    assert "1 texts of 'ann' erased" in run.output
