"""Anthropic messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hapenny.core.errors import Failure
from hapenny.core.events import Completion, Event
from hapenny.core.messages import Protocol, Request
from hapenny.protocols import citations
from hapenny.protocols import fields as f
from hapenny.protocols.anthropic import answer, compose, errors, frames, request, stream
from hapenny.protocols.anthropic.request import VERSIONED
from hapenny.protocols.codec import Codec, StreamDecoder, StreamEncoder, Wire

VERSION = request.VERSION


class Anthropic(Codec):
    """Messages. `Wire.path` is relative to a base URL without `/v1`, as with Anthropic's own client."""

    name: ClassVar[Protocol] = "anthropic"
    dialects: ClassVar[frozenset[Protocol]] = compose.OWN  # type: ignore[assignment]
    cites: ClassVar[citations.Dialect] = "anthropic"
    steady: ClassVar[bool] = True

    def decode_request(
        self, body: bytes, *, model: str | None, stream: bool | None, headers: Mapping[str, str]
    ) -> Request:
        return request.decode(
            body,
            protocol="anthropic",
            model=model,
            stream=stream,
            beta=headers.get("anthropic-beta"),
            version=headers.get("anthropic-version"),
        )

    def encode_request(self, request: Request, *, model: str) -> Wire:
        fields = {"model": model, **compose.encode(request)}
        headers = {"content-type": "application/json", "anthropic-version": request.api_version or VERSION}
        if betas := fields.pop("anthropic_beta", None):
            headers["anthropic-beta"] = ",".join(betas)
        fields.pop(VERSIONED, None)
        if request.stream:
            fields["stream"] = True
            headers["accept"] = "text/event-stream"
        return Wire("/v1/messages", headers, f.encode(fields))

    def _unsaid(self, request: Request) -> list[str]:
        return compose.unsaid(request)

    def decode_answer(
        self, body: bytes, headers: Mapping[str, str], *, model: str = "", id: str = "", created: float = 0.0
    ) -> list[Event]:
        return answer.decode(body, model, id, created)

    def encode_answer(self, completion: Completion, request: Request) -> bytes:
        return answer.encode(completion, request)

    def decoder(
        self, *, model: str = "", id: str = "", created: float = 0.0, headers: Mapping[str, str] | None = None
    ) -> StreamDecoder:
        return stream.Decoder(model, id, created)

    def encoder(self, request: Request) -> StreamEncoder:
        return frames.Encoder(request)

    def encode_error(self, failure: Failure, request_id: str) -> tuple[int, dict[str, str], bytes]:
        return errors.encode(failure, request_id)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        return errors.decode(status, headers, body)
