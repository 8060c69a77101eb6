"""A provider that refuses the gateway's own account is the operator's to mend: what clients, log and fallback see."""

import contextlib
import json

import aiohttp
import anthropic
import openai
import pytest
from aiohttp import web

from hapenny.config import load
from hapenny.core import log
from tests.backends.servers import MESSAGE, message_sse
from tests.backends.servers import serving as provider
from tests.server.house import running

CONFIG = """
backends:
  oa: {kind: openai, base_url: "%(url)s/v1", api_key: k}
  an: {kind: anthropic, base_url: "%(url)s", api_key: k}
models:
  gpt: {id: gpt-4.1, backend: oa}
  claude: {id: claude-sonnet-4-5, backend: an}
%(more)s
routes: {default: {preset: demo, holdout: 0, baseline: gpt, stages: {tiers: on}}}
ledger: {path: "%(folder)s/ledger.db"}
"""
SPENT = {
    "spent": (429, {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}),
    "key": (401, {"error": {"message": "Incorrect API key provided: sk-abc", "code": "invalid_api_key"}}),
    "access": (403, {"error": {"message": "Project may not use this model", "type": "invalid_request_error"}}),
}
ASK = [{"role": "user", "content": "What is the toll?"}]


@pytest.fixture()
def lines(capsys):
    """What was logged."""
    log.configure()
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    log.configure()


@contextlib.asynccontextmanager
async def gateway(tmp_path, refusal, more=""):
    status, body = SPENT[refusal]

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/messages"):
            if (await request.json()).get("stream"):
                return web.Response(body=b"".join(message_sse()), content_type="text/event-stream")
            return web.json_response(MESSAGE)
        asked.append(await request.json())
        return web.json_response(body, status=status)

    asked: list[object] = []
    async with provider(answer) as url:
        config = load(text=CONFIG % {"url": url, "folder": tmp_path, "more": more})
        async with running(config) as (base, _):
            yield base, asked


@pytest.mark.parametrize("refusal", SPENT)
async def test_clients_are_told_that_the_service_is_unavailable(tmp_path, lines, refusal):
    async with gateway(tmp_path, refusal) as (url, asked):
        for _ in range(2):  # at once, and while the endpoint rests
            with pytest.raises(openai.InternalServerError) as caught:
                client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x")
                await client.chat.completions.create(model="gpt", messages=ASK)
            assert caught.value.status_code == 503
            assert caught.value.type == "server_error"
        with pytest.raises(anthropic.InternalServerError) as theirs:
            await anthropic.AsyncAnthropic(base_url=url, api_key="x").messages.create(
                model="gpt", max_tokens=9, messages=ASK
            )
        assert theirs.value.status_code == 503
        assert len(asked) == 1  # neither the clients nor the gateway ask again
        async with aiohttp.ClientSession() as http, http.get(f"{url}/health/live") as live:
            assert live.status == 200
    (line,) = [line for line in lines() if "account" in line["event"]]
    assert (line["backend"], line["status"]) == ("oa", SPENT[refusal][0])
    assert line["fix"]


@pytest.mark.parametrize("refusal", SPENT)
async def test_what_passes_through_tells_nothing_of_the_account_either(tmp_path, lines, refusal):
    async with (
        gateway(tmp_path, refusal) as (url, _),
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/moderations", json={"model": "gpt", "input": "x"}) as answer,
    ):
        assert answer.status == 503
        told = json.loads(await answer.text())["error"]
    assert told["type"] == "server_error"
    assert SPENT[refusal][1]["error"]["message"] not in told["message"]
    (line,) = [line for line in lines() if "account" in line["event"]]
    assert line["fix"]


async def test_a_refusal_of_the_request_itself_passes_through_as_it_was_said(tmp_path, monkeypatch):
    said = {"error": {"message": "Invalid 'input'.", "type": "invalid_request_error", "novel": [1]}}
    monkeypatch.setitem(SPENT, "wrong", (400, said))
    async with (
        gateway(tmp_path, "wrong") as (url, _),
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/moderations", json={"model": "gpt", "input": "x"}) as answer,
    ):
        assert (answer.status, json.loads(await answer.text())) == (400, said)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("refusal", SPENT)
async def test_another_provider_answers(tmp_path, refusal, streamed):
    async with gateway(tmp_path, refusal, "fallbacks: {gpt: [claude]}") as (url, asked):
        async with aiohttp.ClientSession() as http:
            body = {"model": "gpt", "messages": ASK, "stream": streamed}
            for _ in range(3):
                async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
                    assert answer.status == 200
                    assert text_of(await answer.text(), streamed) == "Half a penny"
        assert len(asked) == 1


def text_of(body, streamed):
    if not streamed:
        return json.loads(body)["choices"][0]["message"]["content"]
    chunks = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
