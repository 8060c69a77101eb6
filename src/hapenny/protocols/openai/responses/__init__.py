"""OpenAI Responses (`/v1/responses`): the wire of Codex, openai-agents and the SDKs' newer surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hapenny.core.errors import Failure
from hapenny.core.events import Completion, Event
from hapenny.core.messages import Protocol, Request
from hapenny.protocols.codec import Codec, StreamDecoder, StreamEncoder, Wire
from hapenny.protocols.openai import errors
from hapenny.protocols.openai.responses import answer, compose, frames, request, stream

_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_STREAM_HEADERS = {"content-type": "application/json", "accept": "text/event-stream"}


class Responses(Codec):
    """Responses. `Wire.path` is relative to a base URL that ends in `/v1`, as with OpenAI's own client."""

    name: ClassVar[Protocol] = "responses"
    dialects: ClassVar[frozenset[Protocol]] = frozenset(("responses",))

    def decode_request(
        self, body: bytes, *, model: str | None, stream: bool | None, headers: Mapping[str, str]
    ) -> Request:
        return request.decode(body, stream)

    def encode_request(self, request: Request, *, model: str) -> Wire:
        headers = _STREAM_HEADERS if request.stream else _HEADERS
        return Wire("/responses", dict(headers), compose.encode(request, model))

    def _unsaid(self, request: Request) -> list[str]:
        p = request.parameters
        names = ("thinking", "latency", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty")
        return [name for name in names if getattr(p, name) not in (None, ())]

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
