"""Bedrock's OpenAI-compatible endpoints: their hosts, paths and signing names, their own prices."""

import pytest
from aiohttp import web

from hapenny.backends.bedrock_openai import BedrockOpenAIBackend
from hapenny.backends.pool import Pool
from hapenny.backends.signing import Signer
from hapenny.catalog import default
from hapenny.config import load
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.gateway.gateway import Gateway
from hapenny.protocols.sigv4 import Credentials
from tests.backends.servers import CHAT, asking, drain, limits, serving

CLOCK = RealClock(seed=1)


class Keys:
    async def get(self):
        return Credentials("AKIAOURS", "ours", None)

    async def aclose(self):
        pass


class Nowhere(Pool):
    """A pool without a network: it remembers where it was to send."""

    async def send(self, method, url, headers, body):
        self.sent = (f"{url.origin.host}{url.target}", headers["Authorization"], body)
        raise Failure("unavailable", "nowhere")


@pytest.mark.parametrize(
    ("mantle", "where", "service"),
    [
        (True, "bedrock-mantle.eu-west-1.api.aws/v1/chat/completions", "bedrock-mantle"),
        (False, "bedrock-runtime.eu-west-1.amazonaws.com/openai/v1/chat/completions", "bedrock"),
    ],
)
async def test_each_is_asked_at_its_own_host_and_signed_for_its_own_service(mantle, where, service):
    pool = Nowhere(CLOCK)
    backend = BedrockOpenAIBackend("m", pool, CLOCK, "eu-west-1", Signer(CLOCK, Keys(), None), mantle)
    with pytest.raises(Failure, match="nowhere"):
        await backend.call(asking(), Target("bedrock_mantle/openai.gpt-oss-120b", "m"), limits(CLOCK))
    assert pool.sent[0] == where
    assert f"/eu-west-1/{service}/aws4_request" in pool.sent[1]
    assert b'"model":"openai.gpt-oss-120b"' in pool.sent[2]
    await backend.aclose()


async def test_answers_are_read():
    async def answer(request):
        assert request.headers["Authorization"] == "Bearer ABSK"
        return web.json_response(CHAT)

    async with serving(answer) as url:
        backend = BedrockOpenAIBackend("m", Pool(CLOCK), CLOCK, "eu-west-1", Signer(CLOCK, None, "ABSK"), True, url)
        batches = await drain(await backend.call(asking(streamed=False), Target("x", "m"), limits(CLOCK)))
        assert batches
        await backend.aclose()


def test_public_names_lead_to_it_and_its_prices_are_its_own():
    text = "backends: {m: {kind: bedrock_openai, api_key: k}}\ntiers: {strong: gpt-oss-120b}\nledger: null"
    target = Gateway(load(text=text)).names.resolve("gpt-oss-120b").target
    assert (target.backend, target.model) == ("m", "bedrock_mantle/openai.gpt-oss-120b")
    assert default().resolve(target.model).provider == "bedrock_mantle"
