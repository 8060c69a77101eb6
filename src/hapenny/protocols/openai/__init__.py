"""OpenAI chat completions, also as spoken by compatible servers (vLLM, TGI, SageMaker, Bedrock's own endpoint)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hapenny.core.events import Completion, Event
from hapenny.core.messages import Protocol, Request
from hapenny.protocols.codec import StreamDecoder, StreamEncoder, Wire
from hapenny.protocols.openai import answer, chunks, compose, plain, request, stream
from hapenny.protocols.openai.wire import OpenAIWire


class OpenAI(OpenAIWire):
    """Chat completions. `Wire.path` is relative to a base URL that ends in `/v1`, as with OpenAI's own client."""

    name: ClassVar[Protocol] = "openai"
    dialects: ClassVar[frozenset[Protocol]] = frozenset(("openai",))
    steady: ClassVar[bool] = True

    def decode_request(
        self, body: bytes, *, model: str | None, stream: bool | None, headers: Mapping[str, str]
    ) -> Request:
        return plain.request(body, stream) or request.decode(body, stream)

    def encode_request(self, request: Request, *, model: str) -> Wire:
        return Wire("/chat/completions", self.headers(request), compose.encode(request, model))

    def _unsaid(self, request: Request) -> list[str]:
        return [name for name in ("thinking", "latency") if getattr(request.parameters, name) is not None]

    def decode_answer(
        self, body: bytes, headers: Mapping[str, str], *, model: str = "", id: str = "", created: float = 0.0
    ) -> list[Event]:
        return answer.decode(body, model, id, created)

    def verbatim(self, body: bytes) -> list[Event] | None:
        return plain.answer(body)

    def encode_answer(self, completion: Completion, request: Request) -> bytes:
        return answer.encode(completion, request)

    def decoder(
        self, *, model: str = "", id: str = "", created: float = 0.0, headers: Mapping[str, str] | None = None
    ) -> StreamDecoder:
        return stream.Decoder(model, id, created)

    def encoder(self, request: Request) -> StreamEncoder:
        return chunks.Encoder(request)
