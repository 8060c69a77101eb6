"""Requests of every shape that clients send, at every surface: no 5xx, and for every service a body it takes or a
refusal that says what to do."""

from __future__ import annotations

import json
import random

import aiohttp
import pytest

from hapenny.backends.contract import Raw
from hapenny.catalog import resolve
from hapenny.core.errors import Failure
from hapenny.protocols import codec
from hapenny.protocols.rules import HOME, broken, fit
from hapenny.simulation.provider import composed
from tests.server import shapes, shapes_openai
from tests.server.house import TEXT, TOOLS, Body, Scripted, serving
from tests.server.test_fuzz import bent

MODEL = "/model/anthropic.claude-3-sonnet"
SURFACES = {
    "/v1/chat/completions": shapes.openai,
    "/v1/responses": shapes_openai.responses,
    "/v1/completions": shapes_openai.completions,
    "/v1/embeddings": shapes_openai.embeddings,
    "/v1/messages": shapes.anthropic,
    "/v1/messages/count_tokens": shapes.anthropic,
    f"{MODEL}/converse": shapes.converse,
    f"{MODEL}/converse-stream": shapes.converse,
    f"{MODEL}/invoke": shapes.invoke,
    f"{MODEL}/invoke-with-response-stream": shapes.invoke,
}
SERVICES = [
    ("converse", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("converse", "anthropic.claude-opus-4-6-v1"),
    ("converse", "amazon.nova-pro-v1:0"),
    ("converse", "us.meta.llama3-3-70b-instruct-v1:0"),
    ("converse", "mistral.mistral-large-2407-v1:0"),
    ("converse", "amazon.titan-text-express-v1"),
    ("invoke", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("anthropic", "claude-sonnet-4-5"),
    ("openai", "gpt-4.1"),
    ("openai", "o3"),
    ("openai", "mistral-large-latest"),
]
DIALECT = {service: protocol for protocol, service in HOME.items()}


class Composing(Scripted):
    """Composes what it is asked for every service, and remembers what a service would refuse."""

    def __init__(self):
        super().__init__()
        self.wrong = []

    async def call(self, request, target, limits):
        for service, model in SERVICES:
            if service == "invoke" and request.protocol not in ("anthropic", "invoke"):
                continue
            self.send(request, service, model)
        self.events = TOOLS if request.tools else TEXT
        return await super().call(request, target, limits)

    async def forward(self, method, path, headers, body, limits):
        asked = json.loads(body)
        vector = [0.5, 0.25]
        if path == "/v1/embeddings":
            answer = {"data": [{"index": i, "embedding": vector} for i, _ in enumerate(asked["input"])]}
        elif "titan" in path:
            answer = {"embedding": vector}
        else:
            answer = {"embeddings": {"float": [vector for _ in asked["texts"]]}}
        return Raw(200, {"content-type": "application/json"}, Body([json.dumps(answer).encode()]))

    def send(self, request, service, model):
        card = resolve(model)
        try:
            fitted = fit(request, service, model, card)
            if request.protocol not in codec(DIALECT[service]).dialects:
                codec(DIALECT[service]).lost(fitted.request)
            body = composed(fitted.request, service, model)
        except Failure as failure:
            if failure.kind != "invalid_request" or not failure.field or not failure.fix:
                self.wrong.append((service, model, failure.message))
            return
        if fitted.undo is not None:
            fitted.undo.flow(TEXT[:3])
        if HOME[request.protocol] in (service, "invoke", "anthropic") and service in ("invoke", "anthropic"):
            return  # one dialect: what the service itself refuses is the client's own affair
        if HOME[request.protocol] != service:
            found = broken(body, service, model, card, stream=fitted.request.stream)
            self.wrong += [(service, model, breach.said) for breach in found]


async def walk(tmp_path, path, times, seed):
    random_ = random.Random(f"{path}{seed}")
    backend = Composing()
    async with serving(tmp_path, backend, preset="safe") as (url, app), aiohttp.ClientSession() as session:
        good = 0
        for n in range(times):
            body = SURFACES[path](shapes.Chance(random_))
            data = bent(body, random_) if n % 5 == 4 else None
            async with session.post(url + path, data=data, json=None if data is not None else body) as answer:
                text = await answer.text(errors="replace")
                assert answer.status < 500, (path, data or body, text)
                assert "Traceback" not in text
                good += answer.status == 200
            assert backend.wrong == [], (data or body, backend.wrong)
        assert good > times / 10
        assert app.gateway.books.violations == 0


@pytest.mark.parametrize("path", SURFACES)
async def test_requests_of_any_shape_are_answered_or_refused(tmp_path, path):
    await walk(tmp_path, path, 80, 0)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("path", SURFACES)
async def test_ten_thousand_requests_of_any_shape_are_answered_or_refused(tmp_path, path):
    await walk(tmp_path, path, 10_000, 1)
