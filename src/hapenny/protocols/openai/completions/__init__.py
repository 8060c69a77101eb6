"""OpenAI completions (`/v1/completions`): a text that goes on, the older wire that base models are still asked by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hapenny.core.events import Completion, Event
from hapenny.core.messages import Protocol, Request
from hapenny.protocols.codec import StreamDecoder, StreamEncoder, Wire
from hapenny.protocols.openai.completions import answer, request, stream
from hapenny.protocols.openai.wire import OpenAIWire


class Completions(OpenAIWire):
    """Completions of one prompt. `Wire.path` is relative to a base URL that ends in `/v1`.

    Args:
        first: the number of the first choice, for one of several prompts of a request.
        tally: what the streams of one request have in common; None: there is one.
    """

    name: ClassVar[Protocol] = "completions"
    dialects: ClassVar[frozenset[Protocol]] = frozenset(("completions",))

    def __init__(self, first: int = 0, tally: stream.Tally | None = None) -> None:
        self._first = first
        self._tally = tally

    def decode_request(
        self, body: bytes, *, model: str | None, stream: bool | None, headers: Mapping[str, str]
    ) -> Request:
        (one,) = request.decode(body, stream, most=1)
        return one

    def encode_request(self, request_: Request, *, model: str) -> Wire:
        return Wire("/completions", self.headers(request_), request.encode(request_, model))

    def _unsaid(self, request: Request) -> list[str]:
        p = request.parameters
        return [name for name in ("thinking", "effort", "verbosity", "latency") if getattr(p, name) is not None]

    def decode_answer(
        self, body: bytes, headers: Mapping[str, str], *, model: str = "", id: str = "", created: float = 0.0
    ) -> list[Event]:
        return answer.decode(body, model, id, created)

    def encode_answer(self, completion: Completion, request: Request) -> bytes:
        return answer.encode(completion, request, self._first)

    def decoder(
        self, *, model: str = "", id: str = "", created: float = 0.0, headers: Mapping[str, str] | None = None
    ) -> StreamDecoder:
        return stream.Decoder(model, id, created)

    def encoder(self, request: Request) -> StreamEncoder:
        return stream.Encoder(request, self._first, self._tally or stream.Tally(1))
