"""Answers and requests that several tests share. All constructed."""

from __future__ import annotations

from hapenny.core.events import (
    BlockStarted,
    BlockStopped,
    Collector,
    Completion,
    Event,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    Tokens,
    ToolCallDelta,
    Usage,
)
from hapenny.core.messages import Message, Request, Text, Tool

TOKENS = Tokens(input=11, output=7, cache_read=100, cache_write=20, cache_write_1h=5)


def ask(protocol="openai", **fields) -> Request:
    given = {"model": "m", "messages": (Message("user", (Text("hello"),)),), "protocol": protocol}
    return Request(**{**given, **fields})


WEATHER = Tool("weather", "The weather of a place", {"type": "object", "properties": {"place": {"type": "string"}}})


def text_answer() -> list[Event]:
    return [
        Started("msg_1", "some-model", 1700000000.0),
        BlockStarted(0, "text"),
        TextDelta("Hello, "),
        TextDelta('wörld \U0001f600 "quoted"\n'),
        BlockStopped(0),
        Stopped("end_turn"),
        Usage(TOKENS),
    ]


def tool_answer() -> list[Event]:
    return [
        Started("msg_2", "some-model", 1700000000.0),
        BlockStarted(0, "text"),
        TextDelta("Let me look."),
        BlockStopped(0),
        BlockStarted(1, "tool_use", 0, "call_a", "weather"),
        ToolCallDelta('{"place":', 1),
        ToolCallDelta(' "Dublin"}', 1),
        BlockStopped(1),
        BlockStarted(2, "tool_use", 0, "call_b", "weather"),
        ToolCallDelta('{"place": "Cork"}', 2),
        BlockStopped(2),
        Stopped("tool_use"),
        Usage(TOKENS),
    ]


def thinking_answer() -> list[Event]:
    return [
        Started("msg_3", "some-model", 1700000000.0),
        BlockStarted(0, "thinking"),
        ThinkingDelta("First "),
        ThinkingDelta("then."),
        SignatureDelta("c2ln"),
        BlockStopped(0),
        BlockStarted(1, "thinking"),
        ThinkingDelta("", 1, redacted="c2VjcmV0"),
        BlockStopped(1),
        BlockStarted(2, "text"),
        TextDelta("Done.", 2),
        BlockStopped(2),
        Stopped("stop_sequence", sequence="END"),
        Usage(Tokens(input=3, output=9, reasoning=4)),
    ]


def collected(events) -> Completion:
    collector = Collector()
    for event in events:
        collector.feed(event)
    return collector.finish()


def plain(completion: Completion) -> tuple:
    """What must survive any protocol: content, reasons, counts."""
    return (
        [(choice.content, choice.reason) for choice in completion.choices],
        completion.tokens,
    )
