"""Whatever the target of a request is, the gateway asks nobody but the providers it is configured with."""

import asyncio
import random
import sys

import pytest
from aiohttp import web

from hapenny.config import load
from tests.backends.servers import serving as upstream
from tests.server.house import running
from tests.server.transport.house import Client

CONFIG = """
backends:
  compatible: {{kind: openai, base_url: "{base}/v1", api_key: sk-secret-of-openai}}
  messages: {{kind: anthropic, base_url: "{base}", api_key: sk-secret-of-anthropic}}
  aws: {{kind: bedrock, region: us-east-1, base_url: "{base}", api_key: ABSK-secret-of-aws}}
models: {{m: {{id: gpt-4o, backend: compatible}}}}
tiers: {{fast: m, strong: m}}
ledger: null
keys: [{{key: key-of-a-caller}}]
"""
PARTS = (
    "@", ":", "//", "/", "\\", "..", ".", "%2e", "%2E%2e", "%2f", "%5c", "%40", "?", "#", "evil", "127.0.0.1", "[::1]",
    "http:", "https://", "v1", "model", "converse", "responses", "messages", ";", "a", "%00", "%0d%0a", "user:pass@",
)  # fmt: skip
STARTS = ("", "/", "/v1/", "/model/", "/openai/v1/", "/anthropic/v1/", "http://h/", "//", "@", ":80/", ".", "*")


def targets(times: int, evil: int) -> list[str]:
    chance = random.Random(11)
    made = [
        f"@127.0.0.1:{evil}/x", f":{evil}/x", f"//127.0.0.1:{evil}/x", f"http://127.0.0.1:{evil}/x", f".evil:{evil}/x",
        f"/\\127.0.0.1:{evil}/x", f"/v1/@127.0.0.1:{evil}/x", f"/v1/%40127.0.0.1:{evil}/x",
        f"/model/@127.0.0.1:{evil}/x",        f"/v1/..//127.0.0.1:{evil}/x", f"/openai/v1/@127.0.0.1:{evil}",
        f"?@127.0.0.1:{evil}/", f"#@127.0.0.1:{evil}/", "/v1/moderations", "/v1/responses", "/openai/v1/moderations",
    ]  # fmt: skip
    for _ in range(times):
        text = chance.choice(STARTS) + "".join(chance.choice(PARTS) for _ in range(chance.randrange(1, 7)))
        made.append(text.replace("evil", f"127.0.0.1:{evil}"))
    return made


@pytest.fixture
def connects():
    """Every address that this process connects to, by the interpreter's own account."""
    seen: list[object] = []
    listening = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event == "socket.connect":
            seen.append(arguments[1])

    sys.addaudithook(hook)
    yield seen
    listening = False


async def test_no_target_leads_to_a_host_that_is_not_configured(connects):
    asked: list[web.BaseRequest] = []
    stolen: list[bytes] = []

    async def provider(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request)
        return web.json_response({})

    async def evil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stolen.append(await reader.read(4_096))
        writer.close()

    trap = await asyncio.start_server(evil, "127.0.0.1", 0)
    trapped = trap.sockets[0].getsockname()[1]
    async with upstream(provider) as base, running(load(text=CONFIG.format(base=base))) as (url, _):
        right = {("127.0.0.1", int(base.rpartition(":")[2])), ("127.0.0.1", int(url.rpartition(":")[2]))}
        statuses = set()
        for target in targets(400, trapped):
            for method in ("GET", "POST"):
                client = await Client.to(int(url.rpartition(":")[2]))
                client.say(
                    f"{method} {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer key-of-a-caller\r\n"
                    'Connection: close\r\nContent-Length: 18\r\n\r\n{"model":"gpt-4o"}'.encode("latin-1")
                )
                statuses.add((await client.end())[9:12])
    trap.close()
    assert stolen == []
    assert set(connects) <= right
    assert asked  # some of it passed on to the provider: both sides of the border were walked
    assert all(str(request.headers["host"]) == base.removeprefix("http://") for request in asked)
    assert {b"400", b"200"} <= statuses
    assert not any(status.startswith(b"5") for status in statuses - {b"502"})
