"""Bedrock InvokeModel and its stream with Anthropic-native bodies.

Other native bodies (Titan, Cohere, Llama ...) are not decoded here; `is_native_anthropic` tells them apart, and the
server passes them through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from msgspec import structs

from hapenny.core.errors import Failure
from hapenny.core.events import Completion, Event, Usage
from hapenny.core.messages import Protocol, Request
from hapenny.protocols import citations
from hapenny.protocols import fields as f
from hapenny.protocols.anthropic import answer, compose, request
from hapenny.protocols.anthropic.request import VERSIONED
from hapenny.protocols.bedrock import errors
from hapenny.protocols.billing import LATENCY_HEADER, TIER_HEADER, of_headers
from hapenny.protocols.codec import Codec, StreamDecoder, StreamEncoder, Wire
from hapenny.protocols.gauge import counts
from hapenny.protocols.invoke import stream

VERSION = "bedrock-2023-05-31"
_PREFIX = "x-amzn-bedrock-"
_TIERS = {name: name for name in ("priority", "flex", "default", "reserved")} | {"standard": "default"}
_KEPT = ("trace", "guardrailidentifier", "guardrailversion", "request-metadata")


def is_native_anthropic(body: bytes, model: str) -> bool:
    """Whether `body` is a messages body (however broken), as far as its model and two key words tell."""
    if b'"anthropic_version"' in body:
        return True
    named = "anthropic" in model or "claude" in model
    return named and not (b'"prompt"' in body and b'"messages"' not in body)


class Invoke(Codec):
    """InvokeModel. `Wire.path` is relative to the runtime endpoint."""

    name: ClassVar[Protocol] = "invoke"
    dialects: ClassVar[frozenset[Protocol]] = compose.OWN  # type: ignore[assignment]
    cites: ClassVar[citations.Dialect] = "anthropic"

    def decode_request(
        self, body: bytes, *, model: str | None, stream: bool | None, headers: Mapping[str, str]
    ) -> Request:
        if not model:
            f.wrong("modelId", "The path names no model.", "call /model/MODEL/invoke")
        asked = request.decode(body, protocol="invoke", model=model, stream=bool(stream))
        if asked.extras.get(VERSIONED) == VERSION or not isinstance(asked.extras.get(VERSIONED), str):
            asked.extras.pop(VERSIONED, None)
        changes: dict[str, Any] = {}
        if (latency := headers.get(LATENCY_HEADER)) is not None:
            changes["latency"] = f.one_of(latency, LATENCY_HEADER, ("standard", "optimized"))
        if (tier := headers.get(TIER_HEADER)) is not None:
            changes["service_tier"] = tier
        kept = {_PREFIX + name: headers[_PREFIX + name] for name in _KEPT if _PREFIX + name in headers}
        if not changes and not kept:
            return asked
        return structs.replace(
            asked,
            parameters=structs.replace(asked.parameters, **changes),
            extras=asked.extras | kept,
        )

    def encode_request(self, request: Request, *, model: str) -> Wire:
        fields = {"anthropic_version": VERSION, **compose.encode(request)}
        if request.protocol != "invoke":  # Anthropic's own versions are not Bedrock's
            fields[VERSIONED] = VERSION
        if request.protocol != "invoke" or request.parameters.service_tier in _TIERS:
            fields.pop("service_tier", None)  # travels as a header
        headers = {"content-type": "application/json"}
        if request.stream:
            verb, headers["x-amzn-bedrock-accept"] = "invoke-with-response-stream", "application/json"
        else:
            verb, headers["accept"] = "invoke", "application/json"
        p = request.parameters
        if p.latency is not None:
            headers[LATENCY_HEADER] = p.latency
        if p.service_tier in _TIERS:
            headers[TIER_HEADER] = _TIERS[p.service_tier]
        if request.protocol == "invoke":
            headers |= {key: value for key, value in request.extras.items() if key.startswith(_PREFIX)}
        return Wire(f"/model/{quote(model, safe='')}/{verb}", headers, f.encode(fields))

    def _unsaid(self, request: Request) -> list[str]:
        spoken = {"latency"} | ({"service_tier"} if request.parameters.service_tier in _TIERS else set())
        return [name for name in compose.unsaid(request) if name not in spoken]

    def decode_answer(
        self, body: bytes, headers: Mapping[str, str], *, model: str = "", id: str = "", created: float = 0.0
    ) -> list[Event]:
        events = answer.decode(body, model, id, created)
        counted, terms = counts(headers), of_headers(headers)
        for place, event in enumerate(events):
            if isinstance(event, Usage):
                events[place] = Usage(event.tokens, event.extras | terms, event.raw)
                break
        else:
            if counted is not None:
                events.append(Usage(counted, terms))
        return events

    def encode_answer(self, completion: Completion, request: Request) -> bytes:
        return answer.encode(completion, request)

    def answer_headers(self, completion: Completion, request: Request) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        tokens = completion.tokens
        if tokens is not None:
            headers |= {
                _PREFIX + "input-token-count": str(tokens.input),
                _PREFIX + "output-token-count": str(tokens.output),
                _PREFIX + "cache-read-input-token-count": str(tokens.cache_read),
                _PREFIX + "cache-write-input-token-count": str(tokens.cache_write + tokens.cache_write_1h),
                _PREFIX + "invocation-latency": str(int(completion.extras.get("latency_ms", 0))),
            }
        return headers | stream.terms_out(completion.extras)

    def decoder(
        self, *, model: str = "", id: str = "", created: float = 0.0, headers: Mapping[str, str] | None = None
    ) -> StreamDecoder:
        return stream.Decoder(model, id, created, headers or {})

    def encoder(self, request: Request) -> StreamEncoder:
        return stream.Encoder(request)

    def encode_error(self, failure: Failure, request_id: str) -> tuple[int, dict[str, str], bytes]:
        return errors.encode(failure, request_id)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        return errors.decode(status, headers, body)
