"""Spans as bytes, read by OpenTelemetry's own messages and propagator."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapenny.protocols.otlp import CLIENT, Parent, attribute, attributes, parent_of, request, span

messages = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="not run: the otel extra is not installed"
)

VALUES = st.one_of(
    st.text(max_size=300), st.booleans(), st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False),
    st.lists(st.text(max_size=5), max_size=3),
)  # fmt: skip


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [each.string_value for each in value.array_value.values]
    return getattr(value, kind)


@given(st.dictionaries(st.text(max_size=20), VALUES, max_size=6), st.text(max_size=300), st.integers(0, 2**64 - 1))
def test_a_reader_finds_what_was_written(told, name, began):
    parent = Parent(bytes(range(16)), bytes(range(8)), state="a=b", remote=True)
    made = span(
        b"\x01" * 8, parent, name, CLIENT, began, 7, attributes({**told, "none": None}), failed=True,
        events=[(5, "first token")],
    )  # fmt: skip
    other = span(b"\x02" * 8, Parent(bytes(range(16)), b""), name, CLIENT, 1, 2, attribute("a", name))
    body = request({"service.name": "shop"}, "hapenny", [made, other])
    (resource,) = messages.ExportTraceServiceRequest.FromString(body).resource_spans
    assert {each.key: plain(each.value) for each in resource.resource.attributes} == {"service.name": "shop"}
    (scope,) = resource.scope_spans
    assert scope.scope.name == "hapenny"
    first, second = scope.spans
    assert (first.trace_id, first.span_id, first.parent_span_id) == (parent.trace, b"\x01" * 8, parent.span)
    assert (first.name, first.kind, first.start_time_unix_nano, first.end_time_unix_nano) == (name, 3, began, 7)
    assert {each.key: plain(each.value) for each in first.attributes} == told
    assert (first.status.code, first.trace_state, first.flags) == (2, "a=b", 0x301)
    assert [(each.name, each.time_unix_nano) for each in first.events] == [("first token", 5)]
    assert (second.parent_span_id, second.status.code, second.flags) == (b"", 0, 0x101)
    assert plain(second.attributes[0].value) == name


@pytest.mark.parametrize(
    "given",
    [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03 ",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-later",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
        "zz", "",
    ],
)  # fmt: skip
def test_a_caller_is_understood_as_the_propagator_understands_it(given):
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": given})
    theirs = trace.get_current_span(context).get_span_context()
    ours = parent_of({"traceparent": given})
    assert (ours is not None) == theirs.is_valid
    if ours is not None:
        assert (ours.trace.hex(), ours.span.hex()) == (f"{theirs.trace_id:032x}", f"{theirs.span_id:016x}")
        assert ours.sampled == theirs.trace_flags.sampled
