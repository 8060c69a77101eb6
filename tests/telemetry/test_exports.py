"""Spans and metrics on their way out: what is kept, X-Ray's signature and bounds, GenAI names and buckets."""

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hapenny.core.errors import Failure
from hapenny.protocols.otlp import SERVER, Parent, attribute, span
from hapenny.protocols.sigv4 import Credentials
from hapenny.telemetry.rows import Row
from hapenny.telemetry.span_export import SpanExport, poster
from hapenny.telemetry.traces import TraceOptions, Traces
from hapenny.telemetry.xray import Signature, region_of
from tests.telemetry import made
from tests.telemetry.collector import spans_of, traced

pytest.importorskip("opentelemetry.sdk", reason="not run: the otel extra is not installed")


def test_every_slow_failed_and_costly_request_is_kept_and_of_the_others_a_share():
    clock = made.Clock()
    traces, export, collector = traced(clock, sample=0.25, slow_s=2.0, costly_usd=0.01)
    ex = made.exchange(clock)

    def row(number, **more):
        return Row(**({"id": f"r{number}", "wall": 1.0, "tenant": "t", "e2e": 0.5, "actual": 10} | more))

    for number in range(400):
        traces.observe(ex, row(number))
    export.close()
    assert 60 < len(collector.spans) < 145
    collector.bodies.clear()
    for number in range(50):
        traces.observe(ex, row(number, e2e=2.5))
        traces.observe(ex, row(number, failure="timeout", outcome="failed"))
        traces.observe(ex, row(number, actual=20_000_000))
    export.close()
    assert len(collector.spans) == 150


@pytest.mark.parametrize(("flags", "kept"), [("01", 1), ("00", 0)])
def test_a_callers_word_holds(flags, kept):
    clock = made.Clock()
    traces, export, collector = traced(clock, sample=1.0 - kept)
    ex = made.exchange(clock)
    ex.context.headers["traceparent"] = f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"
    traces.observe(ex, Row(id="r", wall=1.0, tenant="t", e2e=0.1))
    export.close()
    assert len(collector.spans) == kept


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


@contextmanager
def collecting():
    """The address of a collector, and what it was sent: headers and body."""
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
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_spans_for_xray_are_signed_and_go_in_parts_it_takes():
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Theirs

    assert region_of("https://xray.eu-west-1.amazonaws.com/v1/traces") == "eu-west-1"
    assert region_of("http://localhost:4318/v1/traces") is None
    assert region_of("https://xray.eu-west-1.amazonaws.com.evil.example/v1/traces") is None
    clock = made.Clock()
    with collecting() as (url, came):
        signature = Signature("eu-west-1", clock, lambda: Credentials("AKID", "SECRET", "TOKEN"))
        export = SpanExport(poster(url, signature, compressed=True), {"service.name": "shop"}, clock, 40, 15_000)
        text = attribute("text", "x" * 500)
        for number in range(100):
            export.add(span(number.to_bytes(8, "big"), Parent(b"t" * 16, b""), f"span {number}", SERVER, 1, 2, text))
        export.add(span(b"s" * 8, Parent(b"t" * 16, b""), "too long", SERVER, 1, 2, attribute("text", "x" * 16_000)))
        export.close()
    names = []
    for headers, body in came:
        raw = gzip.decompress(body)
        parts = spans_of(raw)
        assert len(parts) <= 40
        assert len(raw) <= 15_500
        names += [each.name for each in parts]
        asked = AWSRequest("POST", url, data=body, headers={"Content-Type": headers["Content-Type"]})
        asked.context["timestamp"] = headers["X-Amz-Date"]
        signer = SigV4Auth(Theirs("AKID", "SECRET", "TOKEN"), "xray", "eu-west-1")
        asked.headers["X-Amz-Date"] = headers["X-Amz-Date"]
        asked.headers["X-Amz-Security-Token"] = "TOKEN"
        expected = signer.signature(signer.string_to_sign(asked, signer.canonical_request(asked)), asked)
        assert headers["Authorization"].endswith(f"Signature={expected}")
        assert headers["X-Amz-Security-Token"] == "TOKEN"
    assert names == [f"span {number}" for number in range(100)]


def test_the_headers_that_opentelemetrys_variables_name_go_along(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=shop%20floor,authorization=Basic abc")
    clock = made.Clock()
    with collecting() as (url, came):
        traces = Traces.open(TraceOptions(endpoint=url, service="shop"), clock)
        traces.observe(made.exchange(clock), Row(id="r", wall=1.0, tenant="t", e2e=0.1))
        traces.close()
    ((headers, body),) = came
    assert (headers["x-team"], headers["authorization"]) == ("shop floor", "Basic abc")
    assert headers["content-type"] == "application/x-protobuf"
    assert [each.name for each in spans_of(body)] == ["hapenny default"]
