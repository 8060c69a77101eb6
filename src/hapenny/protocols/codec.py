"""The contract of a wire dialect: bytes in, words of `core` out, and back; no I/O.

One `Codec` serves both sides: near the client it decodes requests and encodes answers, near the provider it encodes
requests and decodes answers. A codec keeps no state; a `StreamDecoder` or `StreamEncoder` lives for one answer.

`extras` of requests and blocks belong to the dialect the request came in (`Request.protocol`). `extras` of events
and completions are keyed by what they belong to: `"openai"`, `"anthropic"`, `"bedrock"` for the answer or its choice,
`"openai.usage"` and so on for the counts; an encoder looks only at its own keys. `"latency_ms"` is common to all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct

from hapenny.core.errors import Failure
from hapenny.core.events import Completion, Event
from hapenny.core.messages import Opaque, Protocol, Request, Text
from hapenny.protocols import citations


class Wire(Struct, frozen=True):
    """A request as it goes out. `path` starts with "/" and is relative to the provider's usual base URL; it is
    percent-encoded once. `body` is final: what is signed is what is sent."""

    path: str
    headers: dict[str, str]
    body: bytes


def astray() -> Failure:
    """The failure for a piece of a tool call whose block is not open."""
    return Failure("upstream", "The provider's stream holds a piece of a tool call that is not under way.")


_MEANT: dict[str, tuple[str, ...]] = {
    "openai": ("logprobs", "audio", "images"),
    "anthropic": ("container", "context_management"),
    "bedrock": ("additionalModelResponseFields",),
}
"""Fields of an answer or choice that mean something to a client, by owner. (OpenAI's of the message are among them.)"""


def foreign(extras: Mapping[str, Any], own: frozenset[str]) -> set[str]:
    """The names of what `extras` hold for clients of dialects other than `own`."""
    names: set[str] = set()
    for owner, fields in _MEANT.items():
        held = extras.get(owner)
        if held and owner not in own:
            inner = held.get("message")
            names.update(name for name in fields if name in held or (type(inner) is dict and name in inner))
    return names


def left_out(names: Iterable[str]) -> str:
    """The note of what an answer leaves out because its client's dialect has no word for it."""
    return f"left out: {', '.join(sorted(names))} (not in this dialect)"


class StreamDecoder(ABC):
    """Bytes of one streamed answer to events."""

    @abstractmethod
    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes, possibly none.

        Raises:
            Failure: what the provider reported in the stream, or `upstream` for bytes no dialect explains.
        """

    @abstractmethod
    def close(self) -> list[Event]:
        """The upstream ended cleanly: the last events.

        Raises:
            Failure: `truncated`, when the closing event never came.
        """


class StreamEncoder(ABC):
    """Events of one answer to bytes. `content_type` belongs into the answer's headers."""

    content_type: ClassVar[str]

    def __init__(self) -> None:
        self.omitted: set[str] = set()
        """What of the answer this dialect had no word for, by name, so far."""

    @abstractmethod
    def encode(self, events: Sequence[Event]) -> bytes:
        """The frames of `events`, joined for a single write; b"" if they show nothing in this dialect.

        Raises:
            Failure: `upstream`, for a piece of a tool call whose block is not open (dialects with ordered blocks).
        """

    @abstractmethod
    def error(self, failure: Failure, request_id: str) -> bytes:
        """The frame that reports `failure` in mid-stream. Nothing may follow it."""

    @abstractmethod
    def note(self, facts: dict[str, str]) -> bytes:
        """Facts about the call that the dialect's clients skip: an SSE comment or a private event."""

    @abstractmethod
    def end(self) -> bytes:
        """What closes the stream."""

    def ping(self) -> bytes:
        """A keep-alive the dialect's clients skip."""
        return self.note({})


class Codec(ABC):
    """One wire dialect."""

    name: ClassVar[Protocol]
    dialects: ClassVar[frozenset[Protocol]]
    """The protocols whose `extras` and opaque blocks this codec can carry."""
    cites: ClassVar[citations.Dialect] = "openai"
    """The dialect of its citations."""
    steady: ClassVar[bool] = False
    """Whether a whole answer that names its model is always written in the same bytes, whoever asked and whenever."""

    @abstractmethod
    def decode_request(
        self, body: bytes, *, model: str | None, stream: bool | None, headers: Mapping[str, str]
    ) -> Request:
        """The request in `body`.

        Args:
            body: any bytes.
            model: the model named by the path, percent-decoded (Bedrock); None where the body names it.
            stream: what the path says about streaming (Bedrock); None where the body says it.
            headers: header names in lower case; only those of the dialect are read.

        Raises:
            Failure: `invalid_request` with field and fix, whatever the bytes are.
        """

    @abstractmethod
    def encode_request(self, request: Request, *, model: str) -> Wire:
        """`request` for `model` (the provider's own name) in this dialect.

        Raises:
            Failure: `invalid_request`, when the dialect cannot say something the answer would depend on.
        """

    def lost(self, request: Request) -> list[str]:
        """The names of what `encode_request` leaves out because this dialect has no word for it (never content)."""
        names = [] if request.protocol in self.dialects else sorted(request.extras)
        return names + self._unsaid(request)

    def _unsaid(self, request: Request) -> list[str]:
        return []

    @abstractmethod
    def decode_answer(
        self, body: bytes, headers: Mapping[str, str], *, model: str = "", id: str = "", created: float = 0.0
    ) -> list[Event]:
        """The events of a whole answer. `model`, `id` and `created` (Unix seconds) fill in what the wire leaves out.

        Raises:
            Failure: `upstream`, when the body is no answer of this dialect, or the error that it holds.
        """

    def verbatim(self, body: bytes) -> list[Event] | None:
        """The events of a whole answer that may go on to clients of the same dialect as it came, byte by byte; None
        for one that is read and written."""
        return None

    @abstractmethod
    def encode_answer(self, completion: Completion, request: Request) -> bytes:
        """The body of a whole answer."""

    def omitted(self, completion: Completion) -> list[str]:
        """The names of what `encode_answer` leaves out because this dialect has no word for it."""
        owners = frozenset("anthropic" if name == "invoke" else name for name in self.dialects)
        names = foreign(completion.extras, owners)
        for choice in completion.choices:
            names |= foreign(choice.extras, owners)
            for block in choice.content:
                if isinstance(block, Opaque) and block.protocol not in self.dialects:
                    names.add("blocks")
                elif isinstance(block, Text) and None in [
                    citations.translated(self.cites, note, 0, 0) for note in block.citations
                ]:
                    names.add("citations")
        if len(completion.choices) > 1 and self.name != "openai":
            names.add("choices")
        return sorted(names)

    def answer_headers(self, completion: Completion, request: Request) -> dict[str, str]:
        """The headers of a whole answer that belong to the dialect."""
        return {"content-type": "application/json"}

    @abstractmethod
    def decoder(
        self, *, model: str = "", id: str = "", created: float = 0.0, headers: Mapping[str, str] | None = None
    ) -> StreamDecoder:
        """A decoder for one streamed answer; the arguments as in `decode_answer`."""

    @abstractmethod
    def encoder(self, request: Request) -> StreamEncoder:
        """An encoder for the streamed answer to `request`."""

    @abstractmethod
    def encode_error(self, failure: Failure, request_id: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body in which the dialect's official client recognises `failure`."""

    @abstractmethod
    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """The failure that an answer with `status` (400 and above) reports. Header names in lower case."""
