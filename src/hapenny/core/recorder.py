"""The recorder of an answer: its pieces of text as they come, usage and the way it stopped as they are told.

It stands behind an answer's last rewriting transform; `Answer.recorded` hands it out, and attaches one where there is
none. It looks at each batch once; who wants the whole completion says so before the first read. Whoever needs it (the
books, the caches, throughput, delivery) reads the recorder when the answer has ended, instead of watching the flow
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from hapenny.core.events import (
    BlockStarted,
    CitationDelta,
    Collector,
    Completion,
    Event,
    Started,
    Stopped,
    StopReason,
    TextDelta,
    ThinkingDelta,
    Tokens,
    ToolCallDelta,
    Usage,
)
from hapenny.core.transform import Outcome, Transform

Begun: TypeAlias = Callable[[], None]


class Heard(NamedTuple):
    """What a recorder knows of a whole answer that says the same each time it is replayed."""

    output: list[str]
    calls: list[str]
    tokens: Tokens | None
    cached: int | None
    stopped: StopReason | None


class Recorder(Transform):
    """Text, usage and end of one answer.

    Args:
        output: where the pieces of text, reasoning and arguments are appended in the order in which they came.
    """

    watches = True

    def __init__(self, output: list[str] | None = None) -> None:
        self.output: list[str] = output if output is not None else []
        self.seen = False
        """Whether anything has passed."""
        self.begun = False
        """Whether its first content, or its end, has come."""
        self.tokens: Tokens | None = None
        """What the provider reported last."""
        self.cached: int | None = None
        """The most tokens any report said were read from the provider's prompt cache."""
        self.stopped: StopReason | None = None
        self.calls: list[str] = []
        """Names of the tools it calls."""
        self.completion: Completion | None = None
        """The whole answer, once it is complete; only where `whole` was asked for."""
        self._collector: Collector | None = None
        self._parts: list[str] = []
        """The pieces of the text block that was written to last."""
        self._place = (-1, -1)
        self._hooks: list[Begun] = []

    @property
    def characters(self) -> int:
        """Length of the output so far."""
        return sum(map(len, self.output))

    @property
    def collects(self) -> bool:
        """Whether there will be a `completion`."""
        return self._collector is not None

    def whole(self) -> None:
        """Asks for the `completion`; only before the first read."""
        if self._collector is None:
            self._collector = Collector()

    def on_begun(self, hook: Begun) -> None:
        """Runs `hook` when the answer's first content, or its end, passes."""
        self._hooks.append(hook)

    def recall(self, heard: Heard) -> None:
        """Takes a whole answer that was heard before, as if its events passed."""
        self.seen = self.begun = True
        for hook in self._hooks:
            hook()
        self.output, self.calls = heard.output, heard.calls
        self.tokens, self.cached, self.stopped = heard.tokens, heard.cached, heard.stopped

    @property
    def recalls(self) -> bool:
        """Whether nobody asks for more than `recall` tells: no completion, no events of their own."""
        return self._collector is None and type(self).told is Recorder.told and type(self).flow is Recorder.flow

    def told(self, event: Event) -> None:
        """Takes an event that is no content: how it started, stopped, what it used."""

    def flow(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Passes everything on."""
        first, self.seen = not self.seen, True
        if not self.begun:
            for event in batch:
                if isinstance(event, (TextDelta, ThinkingDelta, ToolCallDelta, Stopped, CitationDelta)):
                    self.begun = True
                    for hook in self._hooks:
                        hook()
                    break
        collector, output = self._collector, self.output
        if first and collector is not None and collector.take(batch):
            collector = None
        (choice, block), parts = self._place, self._parts
        for event in batch:
            if type(event) is TextDelta:
                output.append(event.text)
                if collector is not None:
                    if event.block != block or event.choice != choice:
                        choice, block = self._place = (event.choice, event.block)
                        parts = self._parts = collector.text(choice, block)
                    parts.append(event.text)
                continue
            if collector is not None:
                collector.feed(event)
            if isinstance(event, ThinkingDelta):
                output.append(event.text)
            elif isinstance(event, ToolCallDelta):
                output.append(event.arguments)
            elif isinstance(event, BlockStarted):
                if event.kind == "tool_use":
                    self.calls.append(event.name)
            elif isinstance(event, (Started, Stopped, Usage)):
                if isinstance(event, Usage):
                    self.tokens = event.tokens
                    self.cached = max(self.cached or 0, event.tokens.cache_read)
                elif isinstance(event, Stopped):
                    self.stopped = event.reason
                self.told(event)
        return batch

    def unseen(self, batch: Sequence[Event]) -> None:
        """Takes what came but was handed to nobody."""
        self._hooks = []
        self.flow(batch)
        self.seen = False

    def end(self, outcome: Outcome) -> Sequence[Event]:
        """Makes the completion of a complete answer."""
        if outcome == "complete" and self._collector is not None:
            self.completion = self._collector.finish()
        return ()
