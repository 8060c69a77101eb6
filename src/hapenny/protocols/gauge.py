"""Reads usage out of answers that no codec understands, as they pass (OpenAI Responses and embeddings, Bedrock's
other native bodies), without holding or changing them.

Where counts stand: Bedrock's `X-Amzn-Bedrock-*-Token-Count` headers; `usage` of a JSON body or of the last server-sent
event that has one (in Responses inside `response`); `amazon-bedrock-invocationMetrics` of the last native event of an
InvokeModel stream.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.core.errors import Failure
from hapenny.core.events import Tokens
from hapenny.core.messages import Json
from hapenny.protocols.billing import guarded, of_headers
from hapenny.protocols.eventstream import CONTENT_TYPE, Parser

MOST_JSON = 8 << 20
"""Bytes of the largest JSON body that is read; a larger one is passed on unmetered."""
MOST_EVENT = 1 << 20
"""Bytes of the largest server-sent event that is read."""
_PREFIX = "x-amzn-bedrock-"
_METRICS = "amazon-bedrock-invocationMetrics"


class Gauge:
    """Counts of one answer.

    Args:
        headers: of the answer, lower-case names.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        kind = headers.get("content-type", "").partition(";")[0].strip()
        self.model = ""
        """Who answered, where the answer says so."""
        self.extras: dict[str, Json] = of_headers(headers)
        """What it says of its bill beside counts, as extras of events."""
        self._tokens = counts(headers)
        self._frames = Parser() if kind == CONTENT_TYPE else None
        self._lines = kind == "text/event-stream"
        self._whole = kind == "application/json"
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        """A piece of the body. Never raises: what cannot be read is not counted."""
        if self._frames is not None:
            self._framed(self._frames, data)
        elif self._lines:
            self._held += data
            *lines, rest = bytes(self._held).split(b"\n")
            self._held[:] = rest if len(rest) <= MOST_EVENT else b""
            for line in lines:
                if line.startswith(b"data:") and b'"usage"' in line:
                    self._read(line[5:])
        elif self._whole:
            self._held += data
            if len(self._held) > MOST_JSON:
                self._whole = False
                self._held.clear()

    def end(self) -> Tokens | None:
        """What was counted, after the last piece; None: nothing that could be read."""
        if self._whole and self._held:
            self._read(bytes(self._held))
        return self._tokens

    def _framed(self, parser: Parser, data: bytes) -> None:
        try:
            for frame in parser.feed(data):
                native = msgspec.json.decode(binascii.a2b_base64(msgspec.json.decode(frame.payload)["bytes"]))
                metrics = native.get(_METRICS)
                if isinstance(metrics, dict):
                    self._take(_usage(metrics))
        except (Failure, KeyError, TypeError, AttributeError, ValueError):
            return

    def _read(self, text: bytes) -> None:
        try:
            body = msgspec.json.decode(text)
        except ValueError:
            return
        if isinstance(body, dict) and isinstance(body.get("response"), dict):
            body = body["response"]
        if not isinstance(body, dict):
            return
        if isinstance(body.get("model"), str):
            self.model = body["model"]
        self.extras["openai"] = {name: body[name] for name in ("service_tier", "output") if name in body}
        usage = body.get("usage")
        if isinstance(usage, dict) and (units := guarded(usage)):
            self._take(Tokens(units=units))
        elif isinstance(usage, dict):
            self.extras |= {"openai.usage": usage, "anthropic.usage": usage}
            self._take(_usage(usage))

    def _take(self, tokens: Tokens | None) -> None:
        if tokens is not None:
            self._tokens = tokens


def counts(headers: Mapping[str, str]) -> Tokens | None:
    """Counts from the headers of a Bedrock answer: some models report them nowhere else."""
    values: dict[str, int] = {}
    for name, header in (
        ("input", "input-token-count"),
        ("output", "output-token-count"),
        ("cache_read", "cache-read-input-token-count"),
        ("cache_write", "cache-write-input-token-count"),
    ):
        text = headers.get(_PREFIX + header, "")
        if text.isdecimal() and len(text) < 16:
            values[name] = int(text)
    return msgspec.convert(values, Tokens) if values else None


def _usage(usage: dict[str, Any]) -> Tokens | None:
    """Counts in any provider's words. OpenAI counts cached tokens as part of the input, the others beside it."""
    prompt = _first(usage, "prompt_tokens", "input_tokens", "inputTokens", "inputTokenCount")
    if prompt is None:
        return None
    output = _first(usage, "completion_tokens", "output_tokens", "outputTokens", "outputTokenCount") or 0
    hour = 0
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    if isinstance(details, dict):
        read, written = _first(details, "cached_tokens") or 0, _first(details, "cache_write_tokens") or 0
        prompt = max(0, prompt - read - written)
    else:
        read = _first(usage, "cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount") or 0
        written = (
            _first(usage, "cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount") or 0
        )
        lifetimes = usage.get("cache_creation")
        if isinstance(lifetimes, dict):
            hour = min(written, _first(lifetimes, "ephemeral_1h_input_tokens") or 0)
    written -= hour
    spent = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    reasoning = (_first(spent, "reasoning_tokens") or 0) if isinstance(spent, dict) else 0
    return Tokens(
        input=prompt, output=output, cache_read=read, cache_write=written, cache_write_1h=hour,
        reasoning=min(reasoning, output),
    )  # fmt: skip


def _first(values: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = values.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
