"""The pass-through is closed by default: ways, models and objects are checked on what is sent."""

import contextlib
import json

import aiohttp
import pytest
from aiohttp import web

from hapenny.config import load
from tests.server.house import running

ALICE, BOB, LIMITED = ({"authorization": f"Bearer key-of-{name}"} for name in ("alice", "robert", "limited"))
CONFIG = """
backends:
  up: {{kind: openai, base_url: "{url}/v1", api_key: sk-provider}}
  claude: {{kind: anthropic, base_url: "{url}", api_key: sk-provider}}
  aws: {{kind: bedrock, base_url: "{url}", api_key: ABSK-provider}}
tiers: {{fast: cheap, strong: dear}}
ledger: {{path: "{ledger}"}}
keys:
  - {{key: key-of-alice, tenant: alice}}
  - {{key: key-of-robert, tenant: bob}}
  - {{key: key-of-limited, tenant: limited, models: [fast, cheap]}}
"""


@contextlib.asynccontextmanager
async def provider():
    """(URL, what reached it, what it keeps): makes an object of each POST."""
    seen, kept = [], {}

    async def answer(request):
        body = await request.read()
        seen.append((request.method, request.path, body))
        if request.method == "POST" and request.path.count("/") <= 3:
            id = f"obj_{len(kept)}"
            kept[id] = body
            if b'"stream":true' in body:
                frame = b'data: {"type":"response.%s","response":{"id":"%s","status":"%s"}}\n\n'
                event = b"".join(frame % (kind, id.encode(), kind) for kind in (b"created", b"completed"))
                return web.Response(body=event, content_type="text/event-stream")
            return web.json_response({"object": "thing", "output": [{"id": "obj_0"}], "id": id})
        return web.json_response({"object": "thing"})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen, kept
    finally:
        await runner.cleanup()


@pytest.fixture
async def there(tmp_path):
    """(URL of a gateway with keys, client, what reached the provider, configuration)."""
    async with provider() as (url, seen, _), aiohttp.ClientSession() as client:
        text = CONFIG.format(url=url, ledger=tmp_path / "l.db")
        async with running(load(text=text)) as (gateway, _):
            yield gateway, client, seen, text


async def ask(client, url, method, path, key, body=None, **headers):
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    kind = {"content-type": "application/json"} if data is not None else {}
    async with client.request(method, url + path, data=data, headers={**kind, **key, **headers}) as reply:
        return reply.status, await reply.read()


DEAR = b'{"model":"dear","input":"x"}'
FORM = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ndear\r\n--b--\r\n'
ROUND = {
    "plain": ("/v1/responses", DEAR, "application/json"),
    "BOM": ("/v1/responses", b"\xef\xbb\xbf" + DEAR, "application/json"),
    "UTF-16": ("/v1/responses", DEAR.decode().encode("utf-16"), "application/json"),
    "behind": ("/v1/responses", DEAR + b"\0", "application/json"),
    "two values": ("/v1/responses", b'{"model":"cheap"}' + DEAR, "application/json"),
    "twice": ("/v1/responses", b'{"model":"cheap","model":"dear","input":"x"}', "application/json"),
    "twice, the right one last": ("/v1/responses", b'{"model":"dear","model":"cheap"}', "application/json"),
    "form": ("/v1/images/edits", FORM, "multipart/form-data; boundary=b"),
    "audio": ("/v1/audio/transcriptions", FORM, "multipart/form-data; boundary=b"),
    "urlencoded": ("/v1/responses", b"model=dear&input=x", "application/x-www-form-urlencoded"),
    "list": ("/v1/responses", b'{"model":"cheap","models":["cheap","dear"],"input":"x"}', "application/json"),
    "tool": ("/v1/responses", b'{"model":"cheap","tools":[{"type":"t","model":"dear"}]}', "application/json"),
    "unsaid": ("/v1/moderations", b'{"input":"x"}', "application/json"),
    "not a word": ("/v1/responses", b'{"model":["dear"],"input":"x"}', "application/json"),
    "file of a batch": ("/v1/batches", b'{"input_file_id":"obj_0","endpoint":"/v1/responses"}', "application/json"),
    "batch": (
        "/v1/messages/batches",
        b'{"requests":[{"custom_id":"1","params":{"model":"dear"}}]}',
        "application/json",
    ),
    "other plane": ("/async-invoke", b'{"modelId":"dear"}', "application/json"),
    "path": ("/model/dear/invoke", b'{"inputText":"x"}', "application/json"),
    "path, encoded": ("/model/d%65ar/invoke", b'{"inputText":"x"}', "application/json"),
    "path, longer": ("/model/cheap/invoke/", b'{"inputText":"x"}', "application/json"),
}


@pytest.mark.parametrize("name", ROUND)
async def test_a_key_for_certain_models_reaches_no_other(there, name):
    url, client, seen, _ = there
    path, body, kind = ROUND[name]
    status, _ = await ask(client, url, "POST", path, LIMITED, body, **{"content-type": kind})
    assert 400 <= status < 500
    assert seen == []


async def test_what_is_sent_is_what_was_read(there):
    url, client, seen, _ = there
    body = b'  {"model":"cheap", "input":"\\u00e9"}  '
    assert (await ask(client, url, "POST", "/v1/moderations", LIMITED, body))[0] == 200
    assert seen[0][2] == '{"model":"cheap","input":"é"}'.encode()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("TRACE", "/v1/responses"), ("PUT", "/v1/files/obj_0"), ("PATCH", "/v1/responses/obj_0"),
        ("GET", "/v1/organization/api_keys"), ("POST", "/v1/threads"), ("DELETE", "/v1/models/ft-x"),
        ("GET", "/v1/responses"), ("GET", "/v1/fine_tuning/jobs"), ("GET", "/guardrails"), ("POST", "/v1/uploads"),
    ],
)  # fmt: skip
async def test_what_is_not_listed_never_passes(there, method, path):
    url, client, seen, _ = there
    assert 400 <= (await ask(client, url, method, path, ALICE, b"{}" if method == "POST" else None))[0] < 500
    assert seen == []


@pytest.mark.parametrize("stream", [False, True])
async def test_objects_are_those_of_the_key_that_made_them_after_a_restart_too(there, stream):
    url, client, seen, text = there
    body = {"model": "cheap", "input": "a secret", "stream": stream}
    data = json.dumps(body, separators=(",", ":")).encode()
    assert (await ask(client, url, "POST", "/v1/responses", ALICE, data))[0] == 200
    mine = "/v1/responses/obj_0"
    assert (await ask(client, url, "GET", mine, ALICE))[0] == 200
    del seen[:]
    assert (await ask(client, url, "GET", mine, BOB))[0] == 404
    assert (await ask(client, url, "DELETE", mine, BOB))[0] == 404
    for field in ({"previous_response_id": "obj_0"}, {"conversation": {"id": "obj_0"}},
                  {"input": [{"type": "item_reference", "id": "obj_0"}]},
                  {"input": [{"type": "input_file", "file_id": "obj_0"}]}):  # fmt: skip
        assert (await ask(client, url, "POST", "/v1/responses", BOB, {"model": "cheap", **field}))[0] == 404
    assert seen == []
    follow = {"model": "cheap", "previous_response_id": "obj_0"}
    assert (await ask(client, url, "POST", "/v1/responses", ALICE, follow))[0] == 200
    async with running(load(text=text)) as (again, _):
        assert (await ask(client, again, "GET", mine, ALICE))[0] == 200
        assert (await ask(client, again, "GET", mine, BOB))[0] == 404
