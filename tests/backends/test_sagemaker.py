"""SageMaker endpoints: what is sent is what botocore's model takes, what comes back is read whole and streamed."""

import botocore.session
import pytest
from aiohttp import web
from botocore.eventstream import EventStreamBuffer

from hapenny.backends.pool import Pool
from hapenny.backends.sagemaker import SageMakerBackend
from hapenny.backends.signing import Signer
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.core.events import TextDelta
from hapenny.core.exchange import Target
from hapenny.protocols import eventstream
from hapenny.protocols.sigv4 import Credentials
from tests.backends.servers import asking, chat_sse, drain, limits, serving

CLOCK = RealClock(seed=1)
# constructed after the answers of DJL LMI's chat completions (docs.djl.ai, chat_input_output_schema)
WHOLE = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Half a penny"}, "logprobs": None,
         "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
}  # fmt: skip


class Keys:
    async def get(self):
        return Credentials("AKIAOURS", "ours", None)

    async def aclose(self):
        pass


def sse():
    return b"".join(chat_sse())


def text(batches):
    return "".join(event.text for batch in batches for event in batch if isinstance(event, TextDelta))


def parts(data, size):
    """`PayloadPart` frames as the service sends them, cut anywhere."""
    header = eventstream.event_headers("PayloadPart", "application/octet-stream")
    return b"".join(eventstream.frame(header, data[at : at + size]) for at in range(0, len(data), size))


async def ask(handler, model="my-endpoint", stream=False):
    async with serving(handler) as url:
        backend = SageMakerBackend("sm", Pool(CLOCK), CLOCK, "eu-west-1", Signer(CLOCK, Keys(), None), url)
        try:
            return await drain(await backend.call(asking(streamed=stream), Target(model, "sm"), limits(CLOCK)))
        finally:
            await backend.aclose()


async def test_a_whole_answer_is_asked_for_as_the_service_has_it():
    seen = {}

    async def answer(request):
        seen.update(
            path=request.raw_path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.json(),
        )
        return web.json_response(WHOLE)

    events = await ask(answer, "my-endpoint/my-component")
    assert text(events) == "Half a penny"
    model = botocore.session.get_session().get_service_model("sagemaker-runtime").operation_model("InvokeEndpoint")
    assert seen["path"] == model.http["requestUri"].format(EndpointName="my-endpoint")
    header = model.input_shape.members["InferenceComponentName"].serialization["name"]
    assert seen["headers"][header.lower()] == "my-component"
    assert "model" not in seen["body"]
    assert seen["body"]["messages"]
    assert "/eu-west-1/sagemaker/aws4_request" in seen["headers"]["authorization"]


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
async def test_a_stream_is_put_together_again(size):
    data = parts(sse(), size)
    buffer = EventStreamBuffer()  # botocore reads the same frames
    buffer.add_data(data)
    assert b"".join(event.payload for event in buffer) == sse()

    async def answer(request):
        assert request.path.endswith("/invocations-response-stream")
        return web.Response(body=data, content_type="application/vnd.amazon.eventstream")

    assert text(await ask(answer, stream=True)) == "Half a penny"


def json_lines(end=b"\n"):
    """DJL's other stream: each chunk is a line of JSON, and the last one says why it ends."""
    return b"\n".join(chunk.removeprefix(b"data: ").strip() for chunk in chat_sse() if b"[DONE]" not in chunk) + end


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
@pytest.mark.parametrize("end", [b"\n", b""])
async def test_a_stream_of_lines_is_read_as_well(size, end):
    async def answer(request):
        return web.Response(body=parts(json_lines(end), size), content_type="application/vnd.amazon.eventstream")

    assert text(await ask(answer, stream=True)) == "Half a penny"


async def test_a_stream_of_lines_that_is_cut_is_no_answer():
    cut = json_lines().split(b"\n")[0] + b"\n"

    async def answer(request):
        return web.Response(body=parts(cut, 50), content_type="application/vnd.amazon.eventstream")

    with pytest.raises(Failure) as failed:
        await ask(answer, stream=True)
    assert failed.value.kind == "truncated"


async def test_an_endpoint_that_is_not_there_is_the_operators_to_mend():
    async def answer(request):
        headers = {"x-amzn-errortype": "ValidationError"}
        return web.json_response(
            {"message": "Endpoint my-endpoint of account 1 not found."}, status=400, headers=headers
        )

    with pytest.raises(Failure) as failed:
        await ask(answer)
    assert failed.value.kind == "provider_account"
    assert "endpoint" in failed.value.operator


async def test_a_stream_that_breaks_says_why():
    frame = eventstream.frame(eventstream.exception_headers("ModelStreamError"), b'{"Message": "container died"}')

    async def answer(request):
        return web.Response(body=parts(sse()[:200], 50) + frame, content_type="application/vnd.amazon.eventstream")

    with pytest.raises(Failure, match="container died"):
        await ask(answer, stream=True)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (424, {"ErrorCode": "X", "Message": "m", "OriginalStatusCode": 400,
               "OriginalMessage": '{"error": {"message": "bad temperature", "type": "BadRequestError"}}'},
         "invalid_request"),
        (429, {"message": "Rate exceeded"}, "rate_limited"),
    ],
)  # fmt: skip
async def test_errors_are_the_containers_or_the_services(status, body, kind):
    async def answer(request):
        headers = {"x-amzn-errortype": "ModelError" if status == 424 else "ThrottlingException"}
        return web.json_response(body, status=status, headers=headers)

    with pytest.raises(Failure) as failed:
        await ask(answer)
    assert failed.value.kind == kind


def test_a_signer_has_one_right_to_ask():
    for credentials, bearer in ((None, None), (Keys(), "key")):
        with pytest.raises(ValueError, match="either"):
            Signer(CLOCK, credentials, bearer)
