"""Bedrock Converse and ConverseStream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from hapenny.core.errors import Failure
from hapenny.core.events import Completion, Event
from hapenny.core.messages import Protocol, Request
from hapenny.protocols import citations, eventstream
from hapenny.protocols import fields as f
from hapenny.protocols.bedrock import answer, compose, errors, request, stream
from hapenny.protocols.codec import Codec, StreamDecoder, StreamEncoder, Wire


class Bedrock(Codec):
    """Converse. `Wire.path` is relative to the runtime endpoint; the model is one percent-encoded segment of it."""

    name: ClassVar[Protocol] = "bedrock"
    dialects: ClassVar[frozenset[Protocol]] = frozenset(("bedrock",))
    cites: ClassVar[citations.Dialect] = "bedrock"

    def decode_request(
        self, body: bytes, *, model: str | None, stream: bool | None, headers: Mapping[str, str]
    ) -> Request:
        return request.decode(body, model, stream)

    def encode_request(self, request: Request, *, model: str) -> Wire:
        verb = "converse-stream" if request.stream else "converse"
        accept = eventstream.CONTENT_TYPE if request.stream else "application/json"
        headers = {"content-type": "application/json", "accept": accept}
        return Wire(f"/model/{quote(model, safe='')}/{verb}", headers, f.encode(compose.encode(request, model)))

    def _unsaid(self, request: Request) -> list[str]:
        return compose.unsaid(request)

    def decode_answer(
        self, body: bytes, headers: Mapping[str, str], *, model: str = "", id: str = "", created: float = 0.0
    ) -> list[Event]:
        return answer.decode(body, model, id or headers.get("x-amzn-requestid", ""), created)

    def encode_answer(self, completion: Completion, request: Request) -> bytes:
        return answer.encode(completion, request)

    def decoder(
        self, *, model: str = "", id: str = "", created: float = 0.0, headers: Mapping[str, str] | None = None
    ) -> StreamDecoder:
        return stream.Decoder(model, id, created)

    def encoder(self, request: Request) -> StreamEncoder:
        return stream.Encoder(request)

    def encode_error(self, failure: Failure, request_id: str) -> tuple[int, dict[str, str], bytes]:
        return errors.encode(failure, request_id)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        return errors.decode(status, headers, body)
