"""What a gateway writes is for its own user alone, whatever the umask: every file and folder after a day's traffic."""

import asyncio
import base64
import json
import os
import stat

import aiohttp
import pytest

from hapenny.config import load
from tests.server.house import running
from tests.server.test_budgets import ask

KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def loose():
    """A umask that hides nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


async def test_every_file_is_0600_and_every_folder_0700(tmp_path, loose):
    data = tmp_path / "data"
    text = f"""
backends: {{simulated: {{kind: simulated}}}}
routes: {{default: {{preset: demo, holdout: 0, stages: {{semantic: "off"}}}}}}
ledger: {{path: "{data / "books" / "ledger.db"}"}}
content: {{path: "{data / "texts" / "content.db"}", options: {{key: "{KEY}", sample: 1, routes: [default]}}}}
batch: {{journal: "{data / "jobs"}", poll_s: 0.05}}
fingerprint_key: a-secret
keys: [{{key: key-of-alice-000001, tenant: acme, scopes: [call, admin], budgets: [{{usd: 5}}]}}]
"""
    alice = {"authorization": "Bearer key-of-alice-000001"}
    async with running(load(text=text)) as (url, app), aiohttp.ClientSession() as client:
        for number in range(4):
            assert (await ask(client, url, text=f"Question {number % 2}?", stream=bool(number % 2)))[0] == 200
        async with client.post(f"{url}/v1/admin/keys", json={"tenant": "b"}, headers=alice) as reply:
            assert reply.status == 201
        body = {"model": "fast", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
        line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
        form = aiohttp.FormData({"purpose": "batch"})
        form.add_field("file", json.dumps(line).encode(), filename="in.jsonl")
        async with client.post(f"{url}/v1/files", data=form, headers=alice) as reply:
            id = (await reply.json())["id"]
        asked = {"input_file_id": id, "endpoint": "/v1/chat/completions"}
        async with client.post(f"{url}/v1/batches", json=asked, headers=alice) as reply:
            made = await reply.json()
        while made["status"] != "completed":
            await asyncio.sleep(0.02)
            async with client.get(f"{url}/v1/batches/{made['id']}", headers=alice) as reply:
                made = await reply.json()
        await app.gateway.settled()
        await app.gateway.ledger.flush()
        during = modes(data)
    for found in (during, modes(data)):
        assert len(found) > 12
        wrong = {str(path): oct(mode) for path, mode in found.items() if mode & 0o077}
        assert wrong == {}


def modes(folder):
    return {path: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
