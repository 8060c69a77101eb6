"""Managed prompts among the configured models: their templates are read beside requests and counted with them."""

import json

import aiohttp
import pytest

from hapenny.backends.contract import Raw
from hapenny.config import load
from tests.server.house import Body, Scripted, running
from tests.settling import eventually

ARN = "arn:aws:bedrock:eu-west-1:123456789012:prompt/ABCDEFGHIJ"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
LONG = "The shop sells maps of bridges, and every map names the toll that was paid there. " * 100


class Keeper(Scripted):
    """A provider that keeps a prompt: `answers` are those of GetPrompt, the last one for good."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.paths = list(answers), []

    async def forward(self, method, path, headers, body, limits, region=""):
        self.paths.append((method, path, region))
        status, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Raw(status, {"content-type": "application/json"}, Body([json.dumps(answer).encode()]))


def prompt(text=LONG):
    chat = {"system": [{"text": text}], "messages": [{"role": "user", "content": [{"text": "{{question}}"}]}]}
    other = {"name": "other", "modelId": SONNET, "templateConfiguration": {"text": {"text": "short"}}}
    one = {"name": "one", "templateType": "CHAT", "modelId": SONNET, "templateConfiguration": {"chat": chat}}
    return {"name": "helper", "id": "ABCDEFGHIJ", "variants": [other, one], "defaultVariant": "one"}


def config(arn=ARN):
    return load(
        text=f"""
backends: {{one: {{kind: simulated}}}}
models: {{helper: {{id: '{arn}', card: '{SONNET}', backend: one}}}}
tiers: {{strong: helper}}
routes: {{default: {{holdout: 0}}}}
"""
    )


async def counted(url):
    body = {"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "How much?"}]}]}}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + "/model/helper/count-tokens", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return (await answer.json())["inputTokens"]


@pytest.mark.parametrize(
    ("arn", "path"),
    [
        (ARN, f"/prompts/{ARN.replace(':', '%3A').replace('/', '%2F')}/"),
        (ARN + ":3", f"/prompts/{ARN.replace(':', '%3A').replace('/', '%2F')}/?promptVersion=3"),
    ],
)
async def test_a_template_is_part_of_every_count(arn, path):
    keeper = Keeper((200, prompt()))
    async with running(config(arn), {"one": keeper}) as (url, _):
        await eventually(lambda: keeper.paths)
        assert keeper.paths == [("GET", path, "eu-west-1")]
        assert 1_000 < await counted(url) < 4_000


async def test_a_prompt_that_cannot_be_read_stops_nothing():
    keeper = Keeper((403, {"message": "not authorized to perform: bedrock:GetPrompt"}))
    async with running(config(), {"one": keeper}) as (url, app):
        await eventually(lambda: keeper.paths)
        assert await counted(url) < 100
        assert app.gateway.failing() == []


@pytest.mark.parametrize("answer", [{"variants": []}, {"variants": [{"name": "one"}]}, ["no prompt"]])
async def test_what_is_no_prompt_is_left_out(answer):
    keeper = Keeper((200, answer))
    async with running(config(), {"one": keeper}) as (url, app):
        await eventually(lambda: keeper.paths)
        assert await counted(url) < 100
        assert app.gateway.failing() == []
