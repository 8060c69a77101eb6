"""Pieces of one text that came together, as one batch: told apart only for who looks at single events.

Most of a stream is text that nobody changes. A batch that is nothing else is kept as one text and as the frames it came
in; whoever only counts, keeps or forwards it takes it whole, at the price of one event. For everybody else it is the
list of its events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from hapenny.core.events import Event, TextDelta


class TextRun(Sequence[Event]):
    """Text deltas of one block.

    Args:
        pieces: their texts, in UTF-8.
        text: all of it.
        lead: how each piece's frame begins.
        last: how it ends.
        raw: all frames, as they came.
    """

    __slots__ = ("_events", "_last", "_lead", "_pieces", "block", "choice", "raw", "text")

    def __init__(
        self, pieces: list[bytes], text: str, block: int, choice: int, lead: bytes, last: bytes, raw: bytes
    ) -> None:
        self.text = text
        self.block = block
        self.choice = choice
        self.raw = raw
        self._pieces = pieces
        self._lead, self._last = lead, last
        self._events: list[Event] | None = None

    @property
    def events(self) -> list[Event]:
        """One by one."""
        events = self._events
        if events is None:
            lead, last, block, choice = self._lead, self._last, self.block, self.choice
            events = [TextDelta(piece.decode(), block, choice, lead + piece + last) for piece in self._pieces]
            self._events = events
        return events

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        return self.events[index]

    def __eq__(self, other: object) -> bool:
        return self.events == (other.events if isinstance(other, TextRun) else other)

    def __repr__(self) -> str:
        return repr(self.events)
