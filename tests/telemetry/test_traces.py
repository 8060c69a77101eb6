"""Spans carry OpenTelemetry's GenAI names, and no text."""

import pytest

from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from tests.telemetry import made

pytest.importorskip("opentelemetry.sdk", reason="not run: the otel extra is not installed")

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def traced():
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from hapenny.telemetry.traces import Traces

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Traces(provider), exporter


def test_a_request_and_its_calls_are_spans_of_one_trace(traced):
    traces, exporter = traced
    clock = made.Clock()
    book = made.books(clock)
    ex = made.exchange(clock, made.ask("my secret question"), feature="search")
    ex.context.headers["traceparent"] = PARENT
    made.call(book, ex, outcome="failed", failure=Failure("rate_limited", "slow down"))
    clock.t += 0.5
    ex.target = Target("cheap", region="eu-west-1")
    ex.step("tiers")
    made.served(book, ex, text="my secret answer", read=30)
    row = book.close(ex)
    traces.observe(ex, row)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    whole, failed, served = spans["hapenny default"], spans["chat dear"], spans["chat cheap"]
    assert f"{whole.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{whole.parent.span_id:016x}" == PARENT.split("-")[2]
    assert failed.parent.span_id == served.parent.span_id == whole.context.span_id
    assert whole.end_time - whole.start_time == pytest.approx(0.9e9, abs=1e4)
    assert served.start_time - whole.start_time == pytest.approx(0.5e9, abs=1e4)
    assert failed.attributes["error.type"] == "rate_limited"
    assert served.attributes["gen_ai.operation.name"] == "chat"
    assert served.attributes["gen_ai.provider.name"] == "aws.bedrock"
    assert served.attributes["gen_ai.usage.input_tokens"] == row.tokens.prompt
    assert served.attributes["gen_ai.usage.cache_read.input_tokens"] == 30
    assert served.attributes["gen_ai.response.finish_reasons"] == ("end_turn",)
    assert served.attributes["hapenny.cost_usd"] == pytest.approx(row.actual / 1e9)
    assert whole.attributes["hapenny.request.id"] == ex.id
    assert "secret" not in "".join(span.to_json() for span in spans.values())
