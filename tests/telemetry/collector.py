"""A collector of spans that reads what OpenTelemetry's own messages read."""

from hapenny.telemetry.span_export import SpanExport
from hapenny.telemetry.traces import TraceOptions, Traces


class Collector:
    """Keeps what is posted; answers `statuses` in turn, then 200."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.bodies = []

    def __call__(self, body):
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.bodies.append(body)
        return status

    @property
    def spans(self):
        return [span for body in self.bodies for span in spans_of(body)]


def spans_of(body):
    """The spans in a body."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    told = ExportTraceServiceRequest.FromString(body)
    return [span for resource in told.resource_spans for scope in resource.scope_spans for span in scope.spans]


def attributes(span):
    """Attributes by name, as plain values."""
    return {each.key: _plain(each.value) for each in span.attributes}


def _plain(value):
    kind = value.WhichOneof("value")
    return [_plain(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def traced(clock, **options):
    """Traces, the export that sends them, and who takes them."""
    collector = Collector()
    export = SpanExport(collector, {"service.name": "shop"}, clock)
    return Traces(export, TraceOptions(endpoint="http://x", **options)), export, collector
