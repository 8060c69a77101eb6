"""The Bedrock backend against a real server: wire, signature, errors, limits, release."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from hapenny.backends.bedrock import BedrockBackend
from hapenny.backends.credentials import CredentialChain, Environment
from hapenny.backends.pool import Lease, Pool
from hapenny.backends.url import Url, origin
from hapenny.core.answer import Answer
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.events import Collector, Stopped, TextDelta, Tokens, Usage
from hapenny.core.exchange import Target
from hapenny.core.messages import Request
from tests.backends.servers import (
    CLAUDE,
    CONVERSE,
    CONVERSE_STREAM,
    MESSAGE,
    TARGET,
    asking,
    drain,
    frame,
    limits,
    serving,
    stream,
)

CLOCK = RealClock(seed=1)
STREAM_TYPE = "application/vnd.amazon.eventstream"


@pytest.fixture()
async def pool() -> AsyncIterator[Pool]:
    made = Pool(CLOCK)
    yield made
    assert made.busy == 0, "a connection was not given back"
    await made.aclose()


class Nowhere(Pool):
    """A pool without a network: it remembers where it was to send."""

    def __init__(self, clock: RealClock) -> None:
        super().__init__(clock)
        self.asked: list[Url] = []

    async def send(self, method: str, url: Url, headers: Mapping[str, str], body: bytes) -> Lease:
        self.asked.append(url)
        raise Failure("unavailable", "there is no network here")


def bearer(pool: Pool, base: str) -> BedrockBackend:
    return BedrockBackend("b", pool, CLOCK, "us-east-1", bearer="key", base_url=base)


def text(batches: list[list[object]]) -> str:
    return "".join(event.text for batch in batches for event in batch if isinstance(event, TextDelta))


async def test_a_stream_becomes_events_as_they_arrive(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["authorization"] == "Bearer key"
        assert request.raw_path == f"/model/{CLAUDE.replace(':', '%3A')}/converse-stream"
        return await stream(request, CONVERSE_STREAM, STREAM_TYPE, pause=0.02)

    async with serving(answer) as base:
        source = await bearer(pool, base).call(asking(), TARGET, limits(CLOCK))
        batches = await drain(source)
        assert len(batches) >= 4  # one network read, one batch: nothing waits for the end
        assert text(batches) == "Half a penny"
        events = [event for batch in batches for event in batch]
        assert any(isinstance(event, Stopped) for event in events)
        assert [event.tokens for event in events if isinstance(event, Usage)] == [Tokens(input=11, output=4)]


async def test_a_whole_answer_is_one_batch(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.raw_path.endswith("/converse")
        return web.json_response(CONVERSE)

    async with serving(answer) as base:
        (batch,) = await drain(await bearer(pool, base).call(asking(streamed=False), TARGET, limits(CLOCK)))
        collector = Collector()
        for event in batch:
            collector.feed(event)
        assert collector.finish().text == "Half a penny"


@pytest.mark.parametrize("token", [None, "session/token+="])
@pytest.mark.parametrize("model", [CLAUDE, "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2"])
async def test_the_signature_is_the_one_botocore_computes(pool: Pool, model: str, token: str | None) -> None:
    seen: list[bool] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        url = f"http://{request.host}{request.raw_path}"
        again = AWSRequest("POST", url, {name: headers[name] for name in signed}, await request.read())
        again.context["timestamp"] = headers["x-amz-date"]
        auth = SigV4Auth(BotoCredentials("AKID", "secret", token), "bedrock", "eu-west-1")
        expected = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
        seen.append(headers["authorization"].endswith("Signature=" + expected))
        assert ("x-amz-security-token" in headers) == (token is not None)
        return web.json_response(CONVERSE)

    env = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"} | (
        {"AWS_SESSION_TOKEN": token} if token else {}
    )
    async with serving(answer) as base:
        credentials = CredentialChain(CLOCK, [Environment(env)])
        backend = BedrockBackend("b", pool, CLOCK, "us-east-1", credentials=credentials, base_url=base)
        await drain(await backend.call(asking(streamed=False), Target(model, "b", "eu-west-1"), limits(CLOCK)))
        assert seen == [True]


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (asking("anthropic", streamed=False), "invoke"),
        (asking("invoke", streamed=False), "invoke"),
        (asking("bedrock", streamed=False), "converse"),
        (asking("openai", streamed=False), "converse"),
        (asking("anthropic", streamed=False, model="amazon.nova-lite-v1:0"), "converse"),
    ],
)
async def test_claude_is_called_natively_when_asked_in_its_dialect(pool: Pool, request_: Request, path: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        verb = request.path.rsplit("/", 1)[1]
        body = json.loads(await request.read())
        assert ("anthropic_version" in body) == (verb == "invoke")
        assert verb == path
        return web.json_response(MESSAGE if verb == "invoke" else CONVERSE)

    async with serving(answer) as base:
        batches = await drain(await bearer(pool, base).call(request_, Target(request_.model), limits(CLOCK)))
        assert text(batches) == "Half a penny"


async def test_region_endpoint_and_service_tier_come_from_the_target(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert json.loads(await request.read())["serviceTier"] == {"type": "flex"}
        return web.json_response(CONVERSE)

    nowhere = Nowhere(CLOCK)
    backend = BedrockBackend("b", nowhere, CLOCK, "us-east-1", bearer="key")
    for region, used in (("eu-north-1", "eu-north-1"), ("", "us-east-1")):
        with pytest.raises(Failure):
            await backend.call(asking(streamed=False), Target(CLAUDE, "b", region), limits(CLOCK))
        assert nowhere.asked.pop().origin == origin(f"https://bedrock-runtime.{used}.amazonaws.com")
    await nowhere.aclose()
    async with serving(answer) as base:
        target = Target(CLAUDE, "b", "us-east-1", "flex", base)
        await drain(await bearer(pool, base).call(asking(streamed=False), target, limits(CLOCK)))


@pytest.mark.parametrize(
    ("status", "type_", "message", "kind"),
    [
        (429, "ThrottlingException", "Too many tokens, please wait before trying again.", "rate_limited"),
        (400, "ValidationException", "The model returned: temperature and top_p", "invalid_request"),
        (403, "AccessDeniedException", "You don't have access to the model", "provider_account"),
        (404, "ResourceNotFoundException", "Could not resolve the model", "not_found"),
        (503, "ServiceUnavailableException", "Bedrock is unable to process your request.", "overloaded"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_errors_come_in_our_words(
    pool: Pool, streamed: bool, status: int, type_: str, message: str, kind: str
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"message": message}, status=status, headers={"x-amzn-ErrorType": type_ + ":x"})

    async with serving(answer) as base:
        with pytest.raises(Failure) as error:
            await bearer(pool, base).call(asking(streamed=streamed), TARGET, limits(CLOCK))
        assert error.value.kind == kind
        assert error.value.upstream_status == status
        assert error.value.upstream_type == type_


async def test_an_exception_in_mid_stream(pool: Pool) -> None:
    broken = [*CONVERSE_STREAM[:2], frame("exception", "throttlingException", {"message": "Too many tokens"})]

    async def answer(request: web.Request) -> web.StreamResponse:
        return await stream(request, broken, STREAM_TYPE, pause=0.01)

    async with serving(answer) as base:
        source = await bearer(pool, base).call(asking(), TARGET, limits(CLOCK))
        with pytest.raises(Failure) as error:
            await drain(source)
        assert error.value.kind == "rate_limited"
        assert await source.read() is None


async def test_a_clean_early_end_is_a_truncation(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await stream(request, CONVERSE_STREAM[:4], STREAM_TYPE)

    async with serving(answer) as base:
        source = await bearer(pool, base).call(asking(), TARGET, limits(CLOCK))
        with pytest.raises(Failure) as error:
            await drain(source)
        assert error.value.kind == "truncated"


async def test_a_cut_connection(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": STREAM_TYPE})
        await response.prepare(request)
        await response.write(CONVERSE_STREAM[0] + CONVERSE_STREAM[1])
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(answer) as base:
        source = await bearer(pool, base).call(asking(), TARGET, limits(CLOCK))
        with pytest.raises(Failure) as error:
            await drain(source)
        assert error.value.kind == "upstream"
        assert error.value.retryable


async def test_nobody_listens(pool: Pool) -> None:
    async with serving(lambda request: stream(request, [], "")) as base:
        pass
    with pytest.raises(Failure) as error:
        await bearer(pool, base).call(asking(), TARGET, limits(CLOCK))
    assert error.value.kind == "unavailable"


class Silent:
    """A server that begins and then says nothing, and notices when the client leaves."""

    def __init__(self, pieces: list[bytes], headers: bool = True) -> None:
        self.pieces = pieces
        self.headers = headers
        self.left = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        try:
            if self.headers:
                response = web.StreamResponse(headers={"content-type": STREAM_TYPE})
                await response.prepare(request)
                for piece in self.pieces:
                    await response.write(piece)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.left.set()
            raise
        return web.Response()


@pytest.mark.parametrize(
    ("how", "said"),
    [({"idle": 0.15}, "no event for"), ({"finish": 0.15}, "not finished")],
)
async def test_a_stream_that_stops_is_given_up(pool: Pool, how: dict[str, float], said: str) -> None:
    server = Silent(CONVERSE_STREAM[:2])
    async with serving(server) as base:
        source = await bearer(pool, base).call(asking(), TARGET, limits(CLOCK, **how))
        assert await source.read()
        with pytest.raises(Failure, match=said) as error:
            await drain(source)
        assert error.value.kind == "timeout"
        await asyncio.wait_for(server.left.wait(), 5)


async def test_the_backend_has_an_idle_limit_of_its_own() -> None:
    pool = Pool(CLOCK, idle_s=0.15)
    async with serving(Silent(CONVERSE_STREAM[:2])) as base:
        source = await bearer(pool, base).call(asking(), TARGET, limits(CLOCK))
        with pytest.raises(Failure, match=r"no event for 0\.15 s"):
            await drain(source)
        assert pool.busy == 0
        await pool.aclose()


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_provider_that_does_not_accept_is_given_up(pool: Pool, streamed: bool) -> None:
    server = Silent([], headers=False)
    async with serving(server) as base:
        how = {"begin": 0.15} if streamed else {"finish": 0.15}
        with pytest.raises(Failure) as error:
            await bearer(pool, base).call(asking(streamed=streamed), TARGET, limits(CLOCK, **how))
        assert error.value.kind == "timeout"
        await asyncio.wait_for(server.left.wait(), 5)


@pytest.mark.parametrize("how", ["close", "cancel", "never read"])
async def test_leaving_ends_the_call_at_the_provider(pool: Pool, how: str) -> None:
    server = Silent(CONVERSE_STREAM[:2])
    async with serving(server) as base:
        source = await bearer(pool, base).call(asking(), TARGET, limits(CLOCK))
        if how != "never read":
            await source.read()
        if how == "cancel":
            answer = Answer(source)
            task = asyncio.create_task(answer.read())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            answer.close()
            assert answer.outcome == "abandoned"
        else:
            source.close()
            source.close()
        await asyncio.wait_for(server.left.wait(), 5)
        assert pool.busy == 0
        assert await source.read() is None


async def test_a_read_that_is_given_up_loses_nothing(pool: Pool) -> None:
    go = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": STREAM_TYPE})
        await response.prepare(request)
        await response.write(CONVERSE_STREAM[0])
        await go.wait()
        for piece in CONVERSE_STREAM[1:]:
            await response.write(piece)
        return response

    async with serving(answer) as base:
        source = await bearer(pool, base).call(asking(), TARGET, limits(CLOCK))
        await source.read()
        for _ in range(3):
            waiting = asyncio.create_task(source.read())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        go.set()
        assert text(await drain(source)) == "Half a penny"


async def test_a_slow_reader_is_not_the_providers_fault(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await stream(request, CONVERSE_STREAM, STREAM_TYPE)

    async with serving(answer) as base:
        source = await bearer(pool, base).call(asking(), TARGET, limits(CLOCK, idle=0.1))
        await source.read()
        await asyncio.sleep(0.4)
        await drain(source)


async def test_tokens_are_counted_by_the_service(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        if "nova" in request.path:
            return web.json_response({"message": "not served"}, status=400)
        assert request.raw_path == f"/model/{CLAUDE.replace(':', '%3A')}/count-tokens"
        converse = body["input"].get("converse")
        if converse is not None:
            assert set(converse) <= {"messages", "system", "toolConfig"}
        return web.json_response({"inputTokens": 42})

    async with serving(answer) as base:
        backend = bearer(pool, base)
        assert await backend.count(asking("bedrock"), Target("us." + CLAUDE)) == 42
        assert await backend.count(asking("anthropic"), TARGET) == 42
        assert await backend.count(asking(), Target("amazon.nova-lite-v1:0")) is None


async def test_unknown_paths_pass_through_with_our_credentials_only(pool: Pool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.raw_path == "/model/amazon.titan-embed-text-v2%3A0/invoke?x=1"
        assert request.headers["authorization"] == "Bearer key"
        assert "cookie" not in request.headers
        assert request.headers["x-amzn-bedrock-trace"] == "ENABLED"
        assert await request.read() == b'{"inputText":"x"}'
        return web.json_response(
            {"message": "no"}, status=429, headers={"X-Amzn-Bedrock-Input-Token-Count": "3", "Keep-Alive": "5"}
        )

    async with serving(answer) as base:
        raw = await bearer(pool, base).forward(
            "POST",
            "/model/amazon.titan-embed-text-v2%3A0/invoke?x=1",
            {"authorization": "Bearer client", "cookie": "a=b", "x-amzn-bedrock-trace": "ENABLED"},
            b'{"inputText":"x"}',
            limits(CLOCK),
        )
        assert raw.status == 429
        assert raw.headers["x-amzn-bedrock-input-token-count"] == "3"
        assert "keep-alive" not in raw.headers
        body = b""
        while (piece := await raw.body.read()) is not None:
            body += piece
        assert json.loads(body) == {"message": "no"}


def test_it_needs_one_kind_of_credentials() -> None:
    with pytest.raises(ValueError):
        BedrockBackend("b", Pool(CLOCK), CLOCK, "us-east-1")
