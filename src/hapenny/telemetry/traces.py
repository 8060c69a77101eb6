"""Traces by OpenTelemetry's GenAI conventions: one span a request, one below it for each call to a model.

Off unless configured, and loaded only then (extra `otel`). Spans are made when a request is over, from its row: nothing
is on the hot path, and no text of a request can get into a span.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any

from msgspec import Meta, Struct

from hapenny.backends.kinds import KINDS
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.protocols.otlp import CLIENT, SERVER, Parent, attribute, attributes, parent_of, span
from hapenny.telemetry.genai_metrics import GenAiMetrics
from hapenny.telemetry.rows import CallRow, Row
from hapenny.telemetry.span_export import SpanExport, poster
from hapenny.telemetry.xray import Signature, region_of

PROVIDERS = {kind.name: kind.telemetry for kind in KINDS.values()} | {
    "invoke": KINDS["bedrock"].telemetry,
    "responses": KINDS["openai"].telemetry,
    "completions": KINDS["openai"].telemetry,
}
"""`gen_ai.provider.name` by protocol."""

OPERATIONS = {"embed": "embeddings", "rerank": "rerank", "guard": "guard"}
NANO = 1e-9


class TraceOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where spans go."""

    endpoint: Annotated[
        str,
        Meta(
            description="An OTLP/HTTP collector: `http://host:4318/v1/traces`, or X-Ray's own endpoint "
            "`https://xray.REGION.amazonaws.com/v1/traces`, which is asked with a signature.",
        ),
    ]
    metrics: Annotated[
        str,
        Meta(description="An OTLP/HTTP address for the GenAI metrics, e.g. `http://host:4318/v1/metrics`."),
    ] = ""
    service: Annotated[str, Meta(description="The service name of the spans.")] = "hapenny"
    sample: Annotated[
        float,
        Meta(
            description="Share of requests, 0 to 1; a caller's own `traceparent` decides for itself. Slow, failed and "
            "costly requests are always kept.",
        ),
    ] = 1.0
    slow_s: Annotated[float, Meta(description="Seconds of a whole answer from which it is slow.")] = 3.0
    costly_usd: Annotated[float, Meta(description="Dollars from which a request is costly.")] = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise ValueError(f"sample: {self.sample} is no share; give 0 to 1")


class Traces:
    """Turns rows into spans.

    Args:
        export: takes them.
        options: what is kept of them.
        metrics: GenAI metrics beside the spans.
    """

    def __init__(self, export: SpanExport, options: TraceOptions, metrics: GenAiMetrics | None = None) -> None:
        self._export, self._options, self._metrics = export, options, metrics
        self.services: list[Callable[[], Coroutine[Any, Any, None]]] = [export.run]
        """What runs beside requests: it sends."""
        if metrics is not None:
            self.services.append(metrics.run)

    @classmethod
    def open(cls, options: TraceOptions, clock: Clock) -> Traces:
        """Traces that are sent in batches to a collector. Raises `ImportError` without the `otel` extra."""
        try:
            from opentelemetry.sdk.resources import Resource

            region = region_of(options.endpoint)
            if region is not None:
                post = poster(options.endpoint, Signature(region, clock), compressed=True)
            else:
                post = poster(options.endpoint)
        except ImportError:
            raise ImportError("traces need OpenTelemetry: pip install 'hapenny[otel]'") from None
        resource: Any = Resource.create({"service.name": options.service}).attributes
        metrics = GenAiMetrics.open(options.metrics, options.service, clock) if options.metrics else None
        return cls(SpanExport(post, resource, clock), options, metrics)

    def observe(self, exchange: Exchange, row: Row) -> None:
        """Makes the spans of a finished request."""
        if self._metrics is not None:
            self._metrics.observe(row, _named)
        headers = exchange.context.headers
        caller = parent_of(headers) if "traceparent" in headers else None
        if not self.keeps(row, caller):
            return
        ids = blake2b(row.id.encode(), digest_size=24).digest()
        parent = caller or Parent(ids[:16], b"")
        first = int.from_bytes(ids[16:], "big")
        self._export.add(
            span(
                _id(first), parent, f"hapenny {row.route}", SERVER, _nanoseconds(row.wall),
                _nanoseconds(row.wall + (row.e2e or 0.0)), _request(row), failed=row.failure is not None,
            )
        )  # fmt: skip
        inside = Parent(parent.trace, _id(first), state=parent.state)
        for number, call in enumerate(row.calls, first + 1):
            self._export.add(_call(exchange, row, call, inside, _id(number)))

    def keeps(self, row: Row, parent: Parent | None = None) -> bool:
        """Whether a request's spans are kept: by its caller's word, else by chance; whatever is slow, failed or costly
        in any case. The chance is drawn from its id, so that it is the same wherever it is asked."""
        options = self._options
        if row.failure is not None or (row.e2e or 0.0) >= options.slow_s:
            return True
        if (row.actual or 0) * NANO >= options.costly_usd:
            return True
        if parent is not None:
            return parent.sampled
        if options.sample >= 1:
            return True
        draw = int.from_bytes(blake2b(row.id.encode(), digest_size=8).digest(), "big")
        return draw < options.sample * 2**64

    def close(self) -> None:
        """Sends what waits."""
        self._export.close()
        if self._metrics is not None:
            self._metrics.close()


def _id(number: int) -> bytes:
    """A span's id; zero is none (W3C Trace Context §3.2.2.4)."""
    return (number % ((1 << 64) - 1) + 1).to_bytes(8, "big")


def _call(exchange: Exchange, row: Row, call: CallRow, inside: Parent, id_: bytes) -> bytes:
    operation, provider = _named(row, call)
    ended = call.ended if call.ended is not None else call.started
    events = [(_nanoseconds(row.wall + call.began), "first token")] if call.began is not None else ()
    return span(
        id_, inside, f"{operation} {call.model}", CLIENT, _nanoseconds(row.wall + call.started),
        _nanoseconds(row.wall + ended), _attributes(exchange, row, call, operation, provider),
        failed=call.failure is not None, events=events,
    )  # fmt: skip


def _request(row: Row) -> bytes:
    told = [
        _of_requests(
            row.route, row.tenant, row.outcome, row.intent, row.model_asked, row.model_served, row.feature,
            row.cache_layer if row.cache_hit else None, row.failure,
        ),
        attribute("hapenny.request.id", row.id),
    ]  # fmt: skip
    if row.ttft is not None:
        told.append(attribute("hapenny.ttft", row.ttft))
    if row.actual is not None:
        told.append(attribute("hapenny.cost_usd", row.actual * NANO))
    if row.saved is not None:
        told.append(attribute("hapenny.saved_usd", row.saved * NANO))
    return b"".join(told)


@lru_cache(512)
def _of_requests(
    route: str, tenant: str, outcome: str, intent: str, asked: str, served: str, feature: str, layer: str | None,
    failure: str | None,
) -> bytes:  # fmt: skip
    """What many requests have in common."""
    return attributes(
        {
            "hapenny.route": route,
            "hapenny.tenant": tenant,
            "hapenny.outcome": outcome,
            "hapenny.intent": intent,
            "gen_ai.request.model": asked,
            "gen_ai.response.model": served or None,
            "hapenny.feature": feature or None,
            "hapenny.cache.layer": layer,
            "error.type": failure,
        }
    )


def _named(row: Row, call: CallRow) -> tuple[str, str]:
    """A call's operation and provider, in the words of the conventions."""
    provider = PROVIDERS.get(call.backend, PROVIDERS.get(row.protocol, call.backend))
    return OPERATIONS.get(call.purpose, "chat"), provider


def _attributes(exchange: Exchange, row: Row, call: CallRow, operation: str, provider: str) -> bytes:
    asked = exchange.request.parameters
    stopped = row.stopped if call.adopted else None
    told = [
        _of_calls(
            operation, provider, call.model, call.purpose, call.technique, call.provenance, call.region, stopped,
            call.failure, asked.max_tokens, asked.temperature, asked.top_p,
        ),
        # The conventions count cached tokens among the input tokens.
        attribute("gen_ai.usage.input_tokens", call.input + call.cache_read + call.cache_write + call.cache_write_1h),
        attribute("gen_ai.usage.output_tokens", call.output),
    ]  # fmt: skip
    if call.cache_read:
        told.append(attribute("gen_ai.usage.cache_read.input_tokens", call.cache_read))
    if written := call.cache_write + call.cache_write_1h:
        told.append(attribute("gen_ai.usage.cache_write.input_tokens", written))
    if call.cost is not None:
        told.append(attribute("hapenny.cost_usd", call.cost * NANO))
    return b"".join(told)


@lru_cache(512)
def _of_calls(
    operation: str, provider: str, model: str, purpose: str, technique: str, provenance: str, region: str,
    stopped: str | None, failure: str | None, max_tokens: int | None, temperature: float | None, top_p: float | None,
) -> bytes:  # fmt: skip
    """What many calls have in common."""
    return attributes(
        {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.response.model": model,
            "hapenny.purpose": purpose,
            "hapenny.technique": technique,
            "hapenny.provenance": provenance,
            "gen_ai.request.max_tokens": max_tokens,
            "gen_ai.request.temperature": temperature,
            "gen_ai.request.top_p": top_p,
            "gen_ai.response.finish_reasons": (stopped,) if stopped else None,
            "cloud.region": region or None,
            "error.type": failure,
        }
    )


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
