"""Amazon SageMaker: an endpoint whose container speaks OpenAI's chat (DJL LMI, vLLM, TGI's Messages API, Triton).

`InvokeEndpoint` and `InvokeEndpointWithResponseStream` of the service's model (sagemaker-runtime, 2017-05-13). A model
is named by its endpoint, or `ENDPOINT/COMPONENT` for an inference component. What the container streams comes in
`PayloadPart` events cut anywhere: put together again it is the container's own stream of server-sent events.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from hapenny.backends.contract import Raw
from hapenny.backends.credentials import Signing
from hapenny.backends.fitting import Find, Fitting, restored
from hapenny.backends.http import exchange, tiered
from hapenny.backends.kind import AwsOptions, Kind, pool
from hapenny.backends.pool import Pool
from hapenny.backends.signing import Signer
from hapenny.backends.url import Origin, origin
from hapenny.core.answer import Source
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.events import Event
from hapenny.core.exchange import Limits, Target
from hapenny.core.messages import Request
from hapenny.protocols import error_bodies, eventstream
from hapenny.protocols.bedrock import errors as aws
from hapenny.protocols.codec import StreamDecoder
from hapenny.protocols.openai import OpenAI

_LONGEST_LINE = 32 << 20
"""Bytes of one line of a stream of lines."""
_COMPONENT = "x-amzn-sagemaker-inference-component"


class _Contained(OpenAI):
    """OpenAI's chat as a container of SageMaker is asked for it and answers."""

    def decoder(
        self, *, model: str = "", id: str = "", created: float = 0.0, headers: Mapping[str, str] | None = None
    ) -> StreamDecoder:
        return _Parts(super().decoder(model=model, id=id, created=created, headers=headers))

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """The service's own error, or the container's, which the service wraps (424 ModelError)."""
        fields = error_bodies.object_of(body)
        inner, code = fields.get("OriginalMessage"), fields.get("OriginalStatusCode")
        if isinstance(inner, str) and isinstance(code, int) and 400 <= code < 600:
            return super().decode_error(code, headers, inner.encode())
        return aws.decode(status, headers, body)


class _Lines(StreamDecoder):
    """A stream whose chunks are lines of JSON (DJL's `application/jsonlines`), read as the server-sent events that they
    would be; a stream of events passes as it is. What the first letter is decides."""

    def __init__(self, inner: StreamDecoder) -> None:
        self._inner = inner
        self._bare: bool | None = None
        self._rest = b""

    def feed(self, data: bytes) -> list[Event]:
        if self._bare is None:
            data = (self._rest + data).lstrip()
            if not data:
                return []
            self._bare, self._rest = data[:1] == b"{", b""
        if not self._bare:
            return self._inner.feed(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise Failure("upstream", "The endpoint's stream holds a line that never ends.")
        return self._inner.feed(b"".join([b"data: %b\n\n" % line.strip() for line in lines if not line.isspace()]))

    def close(self) -> list[Event]:
        if not self._bare:
            return self._inner.close()
        events = self._inner.feed(b"data: %b\n\n" % self._rest.strip()) if self._rest.strip() else []
        # Lines have no word for the end; whether each choice said why it stopped is looked at all the same.
        return [*events, *self._inner.feed(b"data: [DONE]\n\n"), *self._inner.close()]


class _Parts(StreamDecoder):
    """`PayloadPart` frames around the bytes of a stream."""

    def __init__(self, inner: StreamDecoder) -> None:
        self._frames = eventstream.Parser()
        self._inner = _Lines(inner)

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for frame in self._frames.feed(data):
            if frame.kind != "event":
                raise aws.decode(200, {}, frame.payload, frame.name or "internalServerException")
            if frame.name == "PayloadPart":
                events += self._inner.feed(_bytes(frame.payload))
        return events

    def close(self) -> list[Event]:
        self._frames.close()
        return self._inner.close()


def _bytes(payload: bytes) -> bytes:
    """The payload is the bytes themselves, as the service sends a blob, or JSON with base64 of them."""
    if payload.startswith(b'{"Bytes":'):
        try:
            return binascii.a2b_base64(msgspec.json.decode(payload)["Bytes"])
        except (ValueError, KeyError, TypeError):
            raise Failure("upstream", "The endpoint's stream holds a part without base64 bytes.") from None
    return payload


class SageMakerBackend:
    """A `Backend` over endpoints of one account.

    Args:
        name: as configured.
        pool: its connections.
        clock: the deployment's clock.
        region: where a target names none.
        signer: lets requests in.
        base_url: instead of the regional address.
        find: the card of a model; the package's catalog unless given.
    """

    def __init__(
        self, name: str, pool: Pool, clock: Clock, region: str, signer: Signer, base_url: str | None = None,
        find: Find | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.pool = pool
        self._clock = clock
        self._region = region
        self._signer = signer
        self._base = origin(base_url) if base_url else None
        self._codec = _Contained()
        self._fitting = Fitting(find)

    async def call(self, request: Request, target: Target, limits: Limits) -> Source:
        """Sends `request` to the endpoint that the target's model names; see `Backend.call`."""
        fitted = self._fitting.take(request, target, self._codec)
        wire = self._codec.encode_request(tiered(fitted.request, target), model="")
        fields: dict[str, Any] = msgspec.json.decode(wire.body)
        fields.pop("model", None)  # the endpoint is the model; containers refuse names they were not started with
        body = msgspec.json.encode(fields)
        endpoint, _, component = target.model.partition("/")
        way = "invocations-response-stream" if request.stream else "invocations"
        headers = {"content-type": "application/json", "accept": "application/json"}
        if component:
            headers[_COMPONENT] = component
        region = target.region or self._region
        url = self._at(target, region).at(f"/endpoints/{quote(endpoint, safe='')}/{way}")
        signed = await self._signer.signed("POST", url, headers, body, region, "sagemaker")
        source = await exchange(self.pool, self._clock, self._codec, url, signed, body, fitted.request, target, limits)
        return restored(source, fitted.undo)

    def notes(self, request: Request, target: Target) -> list[str]:
        """What is changed for the container, and what its wire cannot say."""
        return self._fitting.notes(request, target, self._codec)

    async def count(self, request: Request, target: Target) -> int | None:
        """There is no counting service."""
        return None

    async def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, limits: Limits, region: str = ""
    ) -> Raw:
        """Nothing passes: bidirectional streams and asynchronous calls are SageMaker's own. Raises `Failure`."""
        raise Failure(
            "not_found", f"{method} {path.partition('?')[0][:200]} is not passed on to SageMaker",
            fix="ask by chat completions, whole or streamed",
        )  # fmt: skip

    async def aclose(self) -> None:
        """Closes all connections."""
        await self.pool.aclose()
        await self._signer.aclose()

    def _at(self, target: Target, region: str) -> Origin:
        if target.endpoint:
            return origin(target.endpoint)
        return self._base or origin(f"https://runtime.sagemaker.{region}.amazonaws.com")


class SageMakerOptions(AwsOptions, kw_only=True, tag="sagemaker"):
    """Endpoints of Amazon SageMaker whose containers speak OpenAI's chat completions. A model's `id` is the endpoint's
    name, or ENDPOINT/COMPONENT."""


def _build(name: str, options: SageMakerOptions, clock: Clock, find: Find | None) -> SageMakerBackend:
    from hapenny.backends.credential_chain import chain

    credentials: Signing | None = None
    if options.api_key is None:
        credentials = chain(clock, profile=options.profile, region=options.region)
    signer = Signer(clock, credentials, options.api_key)
    return SageMakerBackend(name, pool(clock, options), clock, options.region, signer, options.base_url, find)


KIND = Kind(
    "sagemaker",
    SageMakerOptions,
    _build,
    codec="openai",
    telemetry="aws.sagemaker",
    passes={"sagemaker": 0},
    regional=True,
)
