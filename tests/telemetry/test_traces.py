"""Spans carry OpenTelemetry's GenAI names, and no text."""

import pytest

from hapenny.core.errors import Failure
from hapenny.core.exchange import Target
from hapenny.telemetry.rows import Row
from tests.telemetry import made
from tests.telemetry.collector import attributes, traced

pytest.importorskip("opentelemetry.proto", reason="not run: the otel extra is not installed")

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_and_its_calls_are_spans_of_one_trace():
    clock = made.Clock()
    traces, export, collector = traced(clock)
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
    export.close()
    spans = {span.name: span for span in collector.spans}
    whole, failed, served = spans["hapenny default"], spans["chat dear"], spans["chat cheap"]
    assert whole.trace_id.hex() == failed.trace_id.hex() == served.trace_id.hex() == PARENT.split("-")[1]
    assert whole.parent_span_id.hex() == PARENT.split("-")[2]
    assert failed.parent_span_id == served.parent_span_id == whole.span_id
    assert len({whole.span_id, failed.span_id, served.span_id}) == 3
    assert (whole.kind, served.kind, whole.status.code, failed.status.code) == (2, 3, 0, 2)
    assert whole.end_time_unix_nano - whole.start_time_unix_nano == pytest.approx(0.9e9, abs=1e4)
    assert served.start_time_unix_nano - whole.start_time_unix_nano == pytest.approx(0.5e9, abs=1e4)
    assert [event.name for event in served.events] == ["first token"]
    assert attributes(failed)["error.type"] == "rate_limited"
    told = attributes(served)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "aws.bedrock"
    assert told["gen_ai.usage.input_tokens"] == row.tokens.prompt
    assert told["gen_ai.usage.cache_read.input_tokens"] == 30
    assert told["gen_ai.response.finish_reasons"] == ["end_turn"]
    assert told["hapenny.cost_usd"] == pytest.approx(row.actual / 1e9)
    assert attributes(whole)["hapenny.request.id"] == ex.id
    assert b"secret" not in b"".join(collector.bodies)


def test_requests_of_no_caller_have_traces_of_their_own():
    clock = made.Clock()
    traces, export, collector = traced(clock)
    for number in range(3):
        traces.observe(made.exchange(clock), Row(id=f"r{number}", wall=1.0, tenant="t", e2e=0.1))
    export.close()
    assert len({span.trace_id for span in collector.spans}) == 3
    assert all(len(span.trace_id) == 16 and not span.parent_span_id for span in collector.spans)
