"""OpenAI Responses (`/v1/responses`): the wire of Codex, openai-agents and the SDKs' newer surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hapenny.core.events import Completion, Event
from hapenny.core.messages import Protocol, Request
from hapenny.protocols.codec import StreamDecoder, StreamEncoder, Wire
from hapenny.protocols.openai.responses import answer, compose, frames, request, stream
from hapenny.protocols.openai.wire import OpenAIWire


class Responses(OpenAIWire):
    """Responses. `Wire.path` is relative to a base URL that ends in `/v1`, as with OpenAI's own client."""

    name: ClassVar[Protocol] = "responses"
    dialects: ClassVar[frozenset[Protocol]] = frozenset(("responses",))

    def decode_request(
        self, body: bytes, *, model: str | None, stream: bool | None, headers: Mapping[str, str]
    ) -> Request:
        return request.decode(body, stream)

    def encode_request(self, request: Request, *, model: str) -> Wire:
        return Wire("/responses", self.headers(request), compose.encode(request, model))

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
