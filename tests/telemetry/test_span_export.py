"""Spans wait for their collector, for a while, and within bounds."""

import asyncio

import pytest

from hapenny.protocols.otlp import SERVER, Parent, span
from hapenny.telemetry.span_export import WAITING_BYTES, SpanExport
from tests.telemetry import made
from tests.telemetry.collector import Collector

pytest.importorskip("opentelemetry.proto", reason="not run: the otel extra is not installed")


class Clock(made.Clock):
    """Sleeps take no time; whoever waits has its turn."""

    def __init__(self):
        super().__init__()
        self.slept = []

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def work(self, kind, units, function):
        return function()


def one(number, name="span"):
    return span(number.to_bytes(8, "big"), Parent(b"t" * 16, b""), name, SERVER, 1, 2, b"")


async def sent(export, until):
    task = asyncio.create_task(export.run())
    for _ in range(50):
        await asyncio.sleep(0)
        if until():
            break
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_collector_that_is_busy_or_away_is_asked_again():
    clock, collector = Clock(), Collector(503, 0)
    export = SpanExport(collector, {}, clock)
    export.add(one(1))
    export.add(one(2))
    await sent(export, lambda: collector.bodies)
    assert [int.from_bytes(each.span_id) for each in collector.spans] == [1, 2]
    assert len(collector.bodies) == 1


@pytest.mark.parametrize(("statuses", "tries"), [((400,), 1), ((503,) * 9, 4)])
async def test_what_is_refused_or_cannot_be_sent_is_given_up(statuses, tries):
    clock, collector = Clock(), Collector(*statuses)
    export = SpanExport(collector, {}, clock)
    export.add(one(1))
    await sent(export, lambda: len(collector.statuses) == len(statuses) - tries and len(clock.slept) > tries)
    collector.statuses.clear()
    export.close()
    assert collector.bodies == []


async def test_what_was_being_sent_at_the_end_is_sent_at_last():
    clock, collector = Clock(), Collector(503, 503, 503)
    export = SpanExport(collector, {}, clock)
    export.add(one(1))
    await sent(export, lambda: len(collector.statuses) < 3)
    collector.statuses.clear()
    export.add(one(2))
    export.close()
    assert [int.from_bytes(each.span_id) for each in collector.spans] == [1, 2]


def test_spans_that_wait_are_bounded_and_what_is_left_out_is_counted():
    collector = Collector()
    export = SpanExport(collector, {}, Clock())
    long = one(1, "n" * 1_000_000)
    for _ in range(20):
        export.add(long)
    assert export.dropped == 20 - WAITING_BYTES // len(long)
    export.close()
    assert len(collector.spans) + 5 == 20
    assert export.dropped == 0
