"""Uploads have a quota for each tenant, and an end."""

import aiohttp
import pytest

from hapenny.config import load
from hapenny.core.clock import RealClock
from hapenny.gateway.gateway import Gateway
from hapenny.server.app import App


class Clock(RealClock):
    ahead = 0.0

    def wall(self):
        return RealClock.wall() + self.ahead


ALICE, BOB = ({"authorization": f"Bearer key-of-{name}-1"} for name in ("alice", "robert"))


@pytest.fixture
async def there(tmp_path):
    """(URL, client, clock, a function that starts another gateway on the same journal)."""
    text = f"""
backends: {{simulated: {{kind: simulated}}}}
ledger: null
batch: {{journal: "{tmp_path / "jobs"}", uploads_mb: 0.001, uploads: 3, upload_days: 2}}
keys: [{{key: key-of-alice-1, tenant: a}}, {{key: key-of-robert-1, tenant: b}}]
"""
    clock = Clock()
    apps = []

    async def start():
        if apps:
            await apps.pop().stop()
        gateway = Gateway(load(text=text), clock=clock)
        await gateway.start()
        apps.append(App(gateway))
        return f"http://127.0.0.1:{await apps[0].start(port=0)}"

    async with aiohttp.ClientSession() as client:
        yield start, client, clock
    for app in apps:
        await app.stop()


async def upload(client, url, key, data=b"{}"):
    form = aiohttp.FormData({"purpose": "batch"})
    form.add_field("file", data, filename="in.jsonl")
    async with client.post(f"{url}/v1/files", data=form, headers=key) as reply:
        return reply.status, (await reply.json()).get("id")


async def test_a_tenant_keeps_so_many_and_so_much_also_after_a_restart(there):
    start, client, _ = there
    url = await start()
    assert (await upload(client, url, ALICE, b"x" * 900))[0] == 200
    assert (await upload(client, url, ALICE, b"x" * 200))[0] == 413
    ids = [(await upload(client, url, ALICE, b"x"))[1] for _ in range(2)]
    url = await start()
    assert (await upload(client, url, ALICE, b"x"))[0] == 413
    assert (await upload(client, url, BOB, b"x"))[0] == 200
    async with client.delete(f"{url}/v1/files/{ids[0]}", headers=ALICE) as reply:
        assert reply.status == 200
    assert (await upload(client, url, ALICE, b"x"))[0] == 200


async def test_an_upload_ends_with_its_time(there):
    start, client, clock = there
    url = await start()
    _, id = await upload(client, url, ALICE)
    clock.ahead = 3 * 86_400.0
    async with client.get(f"{url}/v1/files/{id}", headers=ALICE) as reply:
        assert reply.status == 404
    async with client.get(f"{url}/v1/files", headers=ALICE) as reply:
        assert (await reply.json())["data"] == []
    for _ in range(3):
        assert (await upload(client, url, ALICE))[0] == 200
