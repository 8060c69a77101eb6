"""The pass-through is closed by default: ways, models and objects are checked on what is sent."""

import asyncio
import contextlib
import json

import aiohttp
import pytest
from aiohttp import web

from hapenny.config import load
from tests.backends.servers import serving as listening
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

    async with listening(answer) as base:
        yield base, seen, kept


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
    "in capitals": ("/v1/responses", b'{"model":"cheap","Model":"dear","input":"x"}', "application/json"),
    "in a chat": ("/v1/chat/completions", b'{"model":"cheap","MODEL":"dear","messages":[]}', "application/json"),
    "inside": ("/v1/responses", b'{"model":"cheap","tools":[{"type":"t","Model":"dear"}]}', "application/json"),
    "long s": ("/v1/responses", '{"model":"cheap","model\u017f":["dear"],"input":"x"}'.encode(), "application/json"),
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


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "?"}]}),
        ("/v1/responses", {"input": "?"}),
        ("/v1/embeddings", {"input": "?"}),
        ("/v1/moderations", {"input": "?"}),
        ("/v1/completions", {"prompt": "?"}),
    ],
)
async def test_a_model_in_capitals_beside_the_model_is_refused_for_everybody(there, path, more):
    """Servers written in Go read both as one, and the last one wins: another model would answer than the one booked."""
    url, client, seen, _ = there
    status, told = await ask(client, url, "POST", path, ALICE, {"model": "cheap", "Model": "dear", **more})
    assert status == 400
    assert b"twice" in told
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


def form_of(boundary, *fields):
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
        for name, more, data in fields
    ]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


SOUND = b"RIFF" + bytes(range(256))


async def test_a_form_is_written_anew_and_its_model_is_one_that_the_key_may_ask_for(there):
    url, client, seen, _ = there
    fields = [("model", "", b"cheap"), ("timestamp_granularities[]", "", b"word"),
              ("timestamp_granularities[]", "", b"segment"), ("file", '; filename="a.wav"', SOUND)]  # fmt: skip
    body, kind = form_of("x1", *fields)
    extra = b"--x1--\r\nepilogue with model=dear"
    status, _ = await ask(
        client, url, "POST", "/v1/audio/transcriptions", LIMITED, body.replace(b"--x1--\r\n", extra),
        **{"content-type": kind},
    )  # fmt: skip
    assert status == 200
    sent = seen[0][2]
    assert b"epilogue" not in sent
    assert b"--x1" not in sent
    assert [sent.count(part) for part in (SOUND, b"cheap", b"word", b"segment", b'filename="a.wav"')] == [1] * 5


@pytest.mark.parametrize(
    "fields",
    [
        [("model", "", b"cheap"), ("model", "", b"dear")],
        [("Model", "", b"dear"), ("model", "", b"cheap")],
        [("model", "", b"dear"), ("file", '; filename="a"', b"x")],
        [("file", '; filename="a"', b"x")],
        [("models", "", b"dear"), ("model", "", b"cheap")],
        [("model", '; filename="m"', b"dear"), ("file", '; filename="a"', b"x")],
    ],
)
async def test_no_form_gets_round_the_models_of_a_key(there, fields):
    url, client, seen, _ = there
    body, kind = form_of("x1", *fields)
    for path in ("/v1/audio/transcriptions", "/v1/images/edits"):
        status, _ = await ask(client, url, "POST", path, LIMITED, body, **{"content-type": kind})
        assert 400 <= status < 500
    assert seen == []


async def test_a_file_belongs_to_the_key_that_uploaded_it_in_chats_too(there):
    url, client, seen, _ = there
    body, kind = form_of("x1", ("purpose", "", b"user_data"), ("file", '; filename="a.pdf"', b"%PDF"))
    status, made = await ask(client, url, "POST", "/v1/files", ALICE, body, **{"content-type": kind})
    id = json.loads(made)["id"]
    assert status == 200

    def chat(part):
        return {"model": "cheap", "messages": [{"role": "user", "content": [part, {"type": "text", "text": "?"}]}]}

    openai = chat({"type": "file", "file": {"file_id": id}})
    claude = {**chat({"type": "document", "source": {"type": "file", "file_id": id}}), "max_tokens": 5}
    escaped = json.dumps(openai).replace("file_id", "file\\u005fid").encode()
    capitals = json.dumps(openai).replace("file_id", "File_ID").encode()
    del seen[:]
    sent_by_bob = [("/v1/chat/completions", one) for one in (openai, escaped, capitals)]
    for path, sent in (*sent_by_bob, ("/v1/messages", claude)):
        assert (await ask(client, url, "POST", path, BOB, sent))[0] == 404
    assert seen == []
    await ask(client, url, "POST", "/v1/chat/completions", ALICE, openai)
    assert seen[0][1] == "/v1/chat/completions"


async def test_a_tools_own_fields_are_no_objects_of_the_provider(there):
    url, client, seen, _ = there
    named = {"type": "object", "properties": {"file_id": {"type": "string"}}, "required": ["file_id"]}
    tool = {"type": "function", "function": {"name": "look", "parameters": named}}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"file_id": "report"}'}}
    turns = [
        {"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
    ]  # fmt: skip
    await ask(client, url, "POST", "/v1/chat/completions", BOB, {"model": "cheap", "messages": turns, "tools": [tool]})
    assert seen[0][1] == "/v1/chat/completions"


async def test_every_row_of_what_passed_is_metered(there):
    url, client, _, text = there
    import sqlite3

    await ask(client, url, "POST", "/v1/responses", ALICE, {"model": "cheap", "input": "x"})
    await ask(client, url, "GET", "/v1/responses/obj_0", ALICE)
    await ask(client, url, "POST", "/v1/embeddings", ALICE, {"model": "no-such", "input": "x"})
    path = load(text=text).ledger.path
    rows = []
    while len(rows) < 3:
        await asyncio.sleep(0.02)
        with contextlib.closing(sqlite3.connect(path)) as books:
            rows = books.execute("SELECT model_asked, tenant, unpriced, actual FROM requests ORDER BY wall").fetchall()
    assert [row[1] for row in rows] == ["alice"] * 3
    assert rows[1][2:] == (0, 0)  # looking an answer up costs nothing
    assert all(unpriced or actual is not None for _, _, unpriced, actual in rows)
    assert rows[2][2] == 1


@pytest.mark.parametrize(
    ("more", "status"),
    [({}, 200), ({"models": ["dear"]}, 403), ({"MODEL": "dear"}, 403), ({"fallbacks": [{"model": "dear"}]}, 403)],
)
async def test_a_batch_reaches_no_other_model_by_a_further_field_of_its_lines(tmp_path, more, status):
    """A batch that the gateway works off itself sends each line's further fields to the provider."""
    config = CONFIG + 'batch: {{journal: "{jobs}", poll_s: 0.05}}\n'
    body = {"model": "cheap", "messages": [{"role": "user", "content": "x"}], **more}
    lines = [{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    form, kind = form_of("x1", ("purpose", "", b"batch"), ("file", '; filename="in.jsonl"', data))
    async with provider() as (up, seen, _), aiohttp.ClientSession() as client:
        text = config.format(url=up, ledger=tmp_path / "l.db", jobs=tmp_path / "jobs")
        async with running(load(text=text)) as (url, _):
            made = await ask(client, url, "POST", "/v1/files", LIMITED, form, **{"content-type": kind})
            asked = {"input_file_id": json.loads(made[1])["id"], "endpoint": "/v1/chat/completions"}
            assert (await ask(client, url, "POST", "/v1/batches", LIMITED, asked))[0] == status
    assert not any(b"dear" in sent for _, _, sent in seen)
