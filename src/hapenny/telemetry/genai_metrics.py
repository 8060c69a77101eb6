"""OpenTelemetry's GenAI client metrics, sent by OTLP: duration, tokens, time to the first and per further chunk.

Calls are counted in buckets of our own, which costs a hundredth of what an instrument of the SDK takes for each value;
once a minute they are handed to the SDK's exporter in its own words. Buckets have edges at 1.5 and 3 s, the limits that
answers are held to. Off unless `traces.metrics` names an endpoint.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import Any

from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.telemetry.rows import CallRow, Row

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.5, 2.0, 3.0, 5.12, 10.24, 20.48, 40.96, 81.92)
CHUNKS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)
TOKENS = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576)
DURATION, FIRST, CHUNK, USAGE = NAMES = (
    "gen_ai.client.operation.duration",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.client.operation.time_per_output_chunk",
    "gen_ai.client.token.usage",
)
FORMS = {
    DURATION: ("s", "Duration of a call to a model.", SECONDS),
    FIRST: ("s", "Time to the first content of a stream.", SECONDS),
    CHUNK: ("s", "Time per further token of a stream.", CHUNKS),
    USAGE: ("{token}", "Tokens of a call.", TOKENS),
}
"""Metric -> unit, description, edges."""
EVERY_S = 60.0
SERIES = 2_000
"""Kinds of calls that are told apart; further ones are counted as model `other`."""
_Kind = tuple[str, str, str, str | None]
"""Operation, provider, model, failure."""
_log = get_logger("hapenny.traces")


class _Values:
    """A histogram of one series."""

    __slots__ = ("counts", "edges", "least", "most", "total")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total = 0.0
        self.least, self.most = float("inf"), float("-inf")

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value
        if value < self.least:
            self.least = value
        if value > self.most:
            self.most = value


class _Calls:
    """Calls of one kind."""

    __slots__ = ("chunk", "duration", "first", "given", "taken")

    def __init__(self) -> None:
        self.duration, self.first, self.chunk = _Values(SECONDS), _Values(SECONDS), _Values(CHUNKS)
        self.taken, self.given = _Values(TOKENS), _Values(TOKENS)

    def add(self, call: CallRow, stream: bool) -> None:
        ended, began = call.ended, call.began
        if ended is not None:
            self.duration.add(ended - call.started)
        if call.failure is not None:
            return
        prompt = call.input + call.cache_read + call.cache_write + call.cache_write_1h
        if prompt:
            self.taken.add(prompt)
        if call.output:
            self.given.add(call.output)
        if stream and began is not None:
            self.first.add(began - call.started)
            if ended is not None and call.output > 1:
                self.chunk.add((ended - began) / (call.output - 1))

    def series(self) -> list[tuple[str, _Values, dict[str, str]]]:
        """Metric, values, further labels."""
        return [
            (DURATION, self.duration, {}), (FIRST, self.first, {}), (CHUNK, self.chunk, {}),
            (USAGE, self.taken, {"gen_ai.token.type": "input"}), (USAGE, self.given, {"gen_ai.token.type": "output"}),
        ]  # fmt: skip


class GenAiMetrics:
    """Histograms of calls, from the beginning on.

    Args:
        exporter: an OpenTelemetry `MetricExporter`.
        service: the service name.
        clock: the deployment's clock.
    """

    def __init__(self, exporter: Any, service: str, clock: Clock) -> None:
        self._exporter, self._service, self._clock = exporter, service, clock
        self._since = clock.wall()
        self._calls: dict[_Kind, _Calls] = {}

    @classmethod
    def open(cls, endpoint: str, service: str, clock: Clock) -> GenAiMetrics:
        """Metrics that are sent every minute. Raises `ImportError` without the extra `otel`."""
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        except ImportError:
            raise ImportError("metrics by OTLP need OpenTelemetry: pip install 'hapenny[otel]'") from None
        return cls(OTLPMetricExporter(endpoint=endpoint), service, clock)

    def observe(self, row: Row, named: Callable[[Row, CallRow], tuple[str, str]]) -> None:
        """Counts the calls of a finished request; `named`: of a call its operation and provider."""
        for call in row.calls:
            operation, provider = named(row, call)
            kind = (operation, provider, call.model, call.failure)
            calls = self._calls.get(kind)
            if calls is None:
                if len(self._calls) >= SERIES:
                    kind = (operation, provider, "other", None)
                calls = self._calls.setdefault(kind, _Calls())
            calls.add(call, row.stream and operation == "chat")

    async def run(self) -> None:
        """Sends them once a minute."""
        while True:
            await self._clock.sleep(EVERY_S)
            data = self.data()
            if data is not None:
                await self._clock.work("otlp", 1, partial(self._send, data))

    def close(self) -> None:
        """Sends what waits."""
        data = self.data()
        if data is not None:
            self._send(data)
        self._exporter.shutdown()

    def data(self) -> Any:
        """What was counted, as the SDK's `MetricsData`; None: nothing."""
        from opentelemetry.sdk.metrics.export import (
            AggregationTemporality,
            Histogram,
            HistogramDataPoint,
            Metric,
            MetricsData,
            ResourceMetrics,
            ScopeMetrics,
        )
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        since, now = int(self._since * 1e9), int(self._clock.wall() * 1e9)
        points: dict[str, list[Any]] = {}
        for (operation, provider, model, failure), calls in self._calls.items():
            labels = {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.response.model": model,
            } | ({} if failure is None else {"error.type": failure})
            for name, values, more in calls.series():
                if count := sum(values.counts):
                    points.setdefault(name, []).append(
                        HistogramDataPoint(
                            attributes={**labels, **more}, start_time_unix_nano=since, time_unix_nano=now, count=count,
                            sum=values.total, bucket_counts=list(values.counts), explicit_bounds=values.edges,
                            min=values.least, max=values.most,
                        )
                    )  # fmt: skip
        if not points:
            return None
        told = []
        for name, some in points.items():
            unit, about, _ = FORMS[name]
            told.append(Metric(name, about, unit, Histogram(some, AggregationTemporality.CUMULATIVE)))
        scope = ScopeMetrics(InstrumentationScope("hapenny"), told, "")
        return MetricsData([ResourceMetrics(Resource.create({"service.name": self._service}), [scope], "")])

    def _send(self, data: Any) -> None:
        try:
            self._exporter.export(data)
        except Exception as error:  # whatever a collector does, requests go on
            _log.error("metrics cannot be sent", error=type(error).__name__)
