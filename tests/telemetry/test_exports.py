"""Spans and metrics on their way out: what is kept, X-Ray's signature and bounds, GenAI names and buckets."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hapenny.core.errors import Failure
from hapenny.telemetry.rows import Row
from tests.telemetry import made

pytest.importorskip("opentelemetry.sdk", reason="not run: the otel extra is not installed")


def traced(**options):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from hapenny.telemetry.traces import TraceOptions, Traces

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Traces(provider, TraceOptions(endpoint="http://x", **options)), exporter


def test_every_slow_failed_and_costly_request_is_kept_and_of_the_others_a_share():
    traces, exporter = traced(sample=0.25, slow_s=2.0, costly_usd=0.01)
    clock = made.Clock()
    ex = made.exchange(clock)

    def row(number, **more):
        return Row(**({"id": f"r{number}", "wall": 1.0, "tenant": "t", "e2e": 0.5, "actual": 10} | more))

    for number in range(400):
        traces.observe(ex, row(number))
    drawn = len(exporter.get_finished_spans())
    assert 60 < drawn < 145
    exporter.clear()
    for number in range(50):
        traces.observe(ex, row(number, e2e=2.5))
        traces.observe(ex, row(number, failure="timeout", outcome="failed"))
        traces.observe(ex, row(number, actual=20_000_000))
    assert len(exporter.get_finished_spans()) == 150


@pytest.mark.parametrize(("flags", "kept"), [("01", 1), ("00", 0)])
def test_a_callers_word_holds(flags, kept):
    traces, exporter = traced(sample=1.0 - kept)
    ex = made.exchange(made.Clock())
    ex.context.headers["traceparent"] = f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"
    traces.observe(ex, Row(id="r", wall=1.0, tenant="t", e2e=0.1))
    assert len(exporter.get_finished_spans()) == kept


def test_genai_metrics_have_todays_names_and_edges_at_the_limits():
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

    from hapenny.telemetry.genai_metrics import GenAiMetrics

    came = []

    class Exporter:
        def export(self, data):
            came.append(encode_metrics(data))

        def shutdown(self):
            pass

    clock = made.Clock()
    metrics = GenAiMetrics(Exporter(), "shop", clock)
    book = made.books(clock)
    ex = made.exchange(clock, made.ask(stream=True))
    made.call(book, ex, outcome="failed", failure=Failure("rate_limited", "slow down"))
    served = made.served(book, ex, read=30)
    served.ended = served.began + 1.0
    row = book.close(ex)
    metrics.observe(row, lambda row, call: ("chat", "aws.bedrock"))
    metrics.close()
    (sent,) = came
    (resource,) = sent.resource_metrics
    assert labels(resource.resource)["service.name"] == "shop"
    told = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    assert set(told) == {
        "gen_ai.client.operation.duration", "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.operation.time_per_output_chunk", "gen_ai.client.token.usage",
    }  # fmt: skip
    points = told["gen_ai.client.operation.duration"].histogram.data_points
    assert {labels(point).get("error.type") for point in points} == {"rate_limited", None}
    assert all({1.5, 3.0} <= set(point.explicit_bounds) for point in points)
    assert all(sum(point.bucket_counts) == point.count == 1 for point in points)
    kinds = {
        labels(point)["gen_ai.token.type"]: point.sum
        for point in told["gen_ai.client.token.usage"].histogram.data_points
    }
    assert kinds == {"input": row.tokens.prompt, "output": row.tokens.output}


def labels(told):
    """Attributes of what was sent."""
    return {each.key: each.value.string_value for each in told.attributes}


def test_spans_for_xray_are_signed_and_go_in_parts_it_takes():
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Theirs
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from hapenny.protocols.sigv4 import Credentials
    from hapenny.telemetry.xray import exporter, region_of

    assert region_of("https://xray.eu-west-1.amazonaws.com/v1/traces") == "eu-west-1"
    assert region_of("http://localhost:4318/v1/traces") is None
    assert region_of("https://xray.eu-west-1.amazonaws.com.evil.example/v1/traces") is None
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    sender = exporter(
        url, "eu-west-1", made.Clock(), lambda: Credentials("AKID", "SECRET", "TOKEN"), spans=40, most=15_000
    )
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for number in range(100):
        provider.get_tracer("t").start_span(f"span {number}", attributes={"text": "x" * 500}).end()
    spans = memory.get_finished_spans()
    try:
        assert sender.export(spans) is SpanExportResult.SUCCESS
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    names = []
    for headers, body in came:
        raw = ExportTraceServiceRequest.FromString(gzip.decompress(body))
        parts = [span for resource in raw.resource_spans for scope in resource.scope_spans for span in scope.spans]
        assert len(parts) <= 40
        assert raw.ByteSize() <= 15_000
        names += [span.name for span in parts]
        asked = AWSRequest("POST", url, data=body, headers={"Content-Type": headers["Content-Type"]})
        asked.context["timestamp"] = headers["X-Amz-Date"]
        signer = SigV4Auth(Theirs("AKID", "SECRET", "TOKEN"), "xray", "eu-west-1")
        asked.headers["X-Amz-Date"] = headers["X-Amz-Date"]
        asked.headers["X-Amz-Security-Token"] = "TOKEN"
        signature = signer.signature(signer.string_to_sign(asked, signer.canonical_request(asked)), asked)
        assert headers["Authorization"].endswith(f"Signature={signature}")
        assert headers["X-Amz-Security-Token"] == "TOKEN"
    assert sorted(names) == sorted(span.name for span in spans)
