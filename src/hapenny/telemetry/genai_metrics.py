"""OpenTelemetry's GenAI client metrics, sent by OTLP: duration, tokens, time to the first and per further chunk.

Buckets have edges at 1.5 and 3 s, the limits that answers are held to. Off unless `traces.metrics` names an endpoint.
"""

from __future__ import annotations

from typing import Any

from hapenny.telemetry.rows import CallRow, Row

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.5, 2.0, 3.0, 5.12, 10.24, 20.48, 40.96, 81.92)
CHUNKS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)
TOKENS = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576)
NAMES = {
    "gen_ai.client.operation.duration": ("s", "Duration of a call to a model.", SECONDS),
    "gen_ai.client.operation.time_to_first_chunk": ("s", "Time to the first content of a stream.", SECONDS),
    "gen_ai.client.operation.time_per_output_chunk": ("s", "Time per further token of a stream.", CHUNKS),
    "gen_ai.client.token.usage": ("{token}", "Tokens of a call.", TOKENS),
}


class GenAiMetrics:
    """Histograms of calls.

    Args:
        provider: an OpenTelemetry `MeterProvider` with `views()`.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        meter = provider.get_meter("hapenny")
        made = {name: meter.create_histogram(name, unit=unit, description=about)
                for name, (unit, about, _) in NAMES.items()}  # fmt: skip
        self._duration, self._first, self._chunk, self._usage = made.values()

    @classmethod
    def open(cls, endpoint: str, service: str) -> GenAiMetrics:
        """Metrics that are sent every minute. Raises `ImportError` without the extra `otel`."""
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
            from opentelemetry.sdk.resources import Resource
        except ImportError:
            raise ImportError("metrics by OTLP need OpenTelemetry: pip install 'hapenny[otel]'") from None
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint))
        resource = Resource.create({"service.name": service})
        return cls(MeterProvider(metric_readers=[reader], resource=resource, views=views()))

    def observe(self, row: Row, names: list[tuple[CallRow, str, str]]) -> None:
        """Counts the calls of a finished request; `names`: of each call its operation and provider."""
        for call, operation, provider in names:
            labels: dict[str, str] = {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": call.model,
                "gen_ai.response.model": call.model,
            }
            if call.failure is not None:
                labels["error.type"] = call.failure
            if call.ended is not None:
                self._duration.record(call.ended - call.started, labels)
            if call.failure is not None:
                continue
            prompt = call.input + call.cache_read + call.cache_write + call.cache_write_1h
            for kind, count in (("input", prompt), ("output", call.output)):
                if count:
                    self._usage.record(count, {**labels, "gen_ai.token.type": kind})
            if row.stream and call.began is not None and operation == "chat":
                self._first.record(call.began - call.started, labels)
                if call.ended is not None and call.output > 1:
                    self._chunk.record((call.ended - call.began) / (call.output - 1), labels)

    def close(self) -> None:
        """Sends what waits."""
        self._provider.shutdown()


def views() -> list[Any]:
    """The buckets of each histogram."""
    from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

    return [
        View(instrument_name=name, aggregation=ExplicitBucketHistogramAggregation(edges))
        for name, (_, _, edges) in NAMES.items()
    ]
