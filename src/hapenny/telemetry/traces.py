"""Traces by OpenTelemetry's GenAI conventions: one span a request, one below it for each call to a model.

Off unless configured, and loaded only then (extra `otel`). Spans are made when a request is over, from its row: nothing
is on the hot path, and no text of a request can get into a span.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any

from msgspec import Meta, Struct

from hapenny.backends.kinds import KINDS
from hapenny.core.clock import Clock
from hapenny.core.exchange import Exchange
from hapenny.telemetry.genai_metrics import GenAiMetrics
from hapenny.telemetry.rows import CallRow, Row
from hapenny.telemetry.xray import exporter, region_of

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
        provider: an OpenTelemetry `TracerProvider` that takes every span.
        options: what is kept of them; None keeps all.
        metrics: GenAI metrics beside the spans.
    """

    def __init__(self, provider: Any, options: TraceOptions | None = None, metrics: GenAiMetrics | None = None) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._api = trace
        self._provider = provider
        self._tracer = provider.get_tracer("hapenny")
        self._propagator = TraceContextTextMapPropagator()
        self._nobody = Context()
        self._options, self._metrics = options, metrics

    @classmethod
    def open(cls, options: TraceOptions, clock: Clock) -> Traces:
        """Traces that are sent in batches to a collector. Raises `ImportError` without the `otel` extra."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        except ImportError:
            raise ImportError("traces need OpenTelemetry: pip install 'hapenny[otel]'") from None
        provider = TracerProvider(
            resource=Resource.create({"service.name": options.service}),
            sampler=ALWAYS_ON,  # spans are made when a request is over: which are kept is known before
        )
        region = region_of(options.endpoint)
        sender: Any
        if region is not None:
            sender = exporter(options.endpoint, region, clock)
        else:
            sender = OTLPSpanExporter(endpoint=options.endpoint)
        provider.add_span_processor(BatchSpanProcessor(sender))
        metrics = GenAiMetrics.open(options.metrics, options.service, clock) if options.metrics else None
        return cls(provider, options, metrics)

    def observe(self, exchange: Exchange, row: Row) -> None:
        """Makes the spans of a finished request."""
        if self._metrics is not None:
            self._metrics.observe(row, _named)
        parent = caller = None
        if "traceparent" in exchange.context.headers:
            parent = self._propagator.extract(exchange.context.headers)
            caller = self._api.get_current_span(parent).get_span_context()
        if not self.keeps(row, caller):
            return
        if parent is None:
            parent = self._nobody
        span = self._tracer.start_span(
            f"hapenny {row.route}",
            context=parent,
            kind=self._api.SpanKind.SERVER,
            start_time=_nanoseconds(row.wall),
            attributes=_request(row),
        )
        if row.failure is not None:
            span.set_attribute("error.type", row.failure)
            span.set_status(self._api.Status(self._api.StatusCode.ERROR))
        if span.is_recording():
            inside = self._api.set_span_in_context(span, parent)
            for call in row.calls:
                self._call(exchange, row, call, inside)
        span.end(_nanoseconds(row.wall + (row.e2e or 0.0)))

    @property
    def metrics(self) -> GenAiMetrics | None:
        """The GenAI metrics beside the spans."""
        return self._metrics

    def keeps(self, row: Row, parent: Any = None) -> bool:
        """Whether a request's spans are kept: by its caller's word (span context `parent`), else by chance; whatever
        is slow, failed or costly in any case. The chance is drawn from its id, so that it is the same wherever it is
        asked."""
        options = self._options
        if options is None or row.failure is not None or (row.e2e or 0.0) >= options.slow_s:
            return True
        if (row.actual or 0) * NANO >= options.costly_usd:
            return True
        if parent is not None and parent.is_valid:
            return bool(parent.trace_flags.sampled)
        draw = int.from_bytes(blake2b(row.id.encode(), digest_size=8).digest(), "big")
        return draw < options.sample * 2**64

    def close(self) -> None:
        """Sends what waits."""
        self._provider.shutdown()
        if self._metrics is not None:
            self._metrics.close()

    def _call(self, exchange: Exchange, row: Row, call: CallRow, inside: Any) -> None:
        operation, _ = _named(row, call)
        span = self._tracer.start_span(
            f"{operation} {call.model}",
            context=inside,
            kind=self._api.SpanKind.CLIENT,
            start_time=_nanoseconds(row.wall + call.started),
            attributes=_attributes(exchange, row, call, operation),
        )
        if call.failure is not None:
            span.set_attribute("error.type", call.failure)
            span.set_status(self._api.Status(self._api.StatusCode.ERROR))
        if call.began is not None:
            span.add_event("first token", timestamp=_nanoseconds(row.wall + call.began))
        span.end(_nanoseconds(row.wall + (call.ended if call.ended is not None else call.started)))


def _request(row: Row) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "hapenny.request.id": row.id,
        "hapenny.route": row.route,
        "hapenny.tenant": row.tenant,
        "hapenny.outcome": row.outcome,
        "hapenny.intent": row.intent,
        "gen_ai.request.model": row.model_asked,
    }
    more = (
        ("gen_ai.response.model", row.model_served or None),
        ("hapenny.feature", row.feature or None),
        ("hapenny.cache.layer", row.cache_layer if row.cache_hit else None),
        ("hapenny.ttft", row.ttft),
        ("hapenny.cost_usd", None if row.actual is None else row.actual * NANO),
        ("hapenny.saved_usd", None if row.saved is None else row.saved * NANO),
    )
    return attributes | {name: value for name, value in more if value is not None}


def _named(row: Row, call: CallRow) -> tuple[str, str]:
    """A call's operation and provider, in the words of the conventions."""
    provider = PROVIDERS.get(call.backend, PROVIDERS.get(row.protocol, call.backend))
    return OPERATIONS.get(call.purpose, "chat"), provider


def _attributes(exchange: Exchange, row: Row, call: CallRow, operation: str) -> dict[str, Any]:
    parameters = exchange.request.parameters
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _named(row, call)[1],
        "gen_ai.request.model": call.model,
        "gen_ai.response.model": call.model,
        # The conventions count cached tokens among the input tokens.
        "gen_ai.usage.input_tokens": call.input + call.cache_read + call.cache_write + call.cache_write_1h,
        "gen_ai.usage.output_tokens": call.output,
        "hapenny.purpose": call.purpose,
        "hapenny.technique": call.technique,
        "hapenny.provenance": call.provenance,
    }
    more = (
        ("gen_ai.usage.cache_read.input_tokens", call.cache_read or None),
        ("gen_ai.usage.cache_write.input_tokens", (call.cache_write + call.cache_write_1h) or None),
        ("gen_ai.request.max_tokens", parameters.max_tokens),
        ("gen_ai.request.temperature", parameters.temperature),
        ("gen_ai.request.top_p", parameters.top_p),
        ("gen_ai.response.finish_reasons", [row.stopped] if call.adopted and row.stopped else None),
        ("cloud.region", call.region or None),
        ("hapenny.cost_usd", None if call.cost is None else call.cost * NANO),
    )
    return attributes | {name: value for name, value in more if value is not None}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
