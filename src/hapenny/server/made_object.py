"""The id of an object that a provider has made, read from its answer as it passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

MOST = 8 << 20
"""Bytes of an answer that are held to find the id; of a longer one nobody becomes the owner."""


T = TypeVar("T")


class _Object(Struct):
    id: str = ""


class _Event(Struct):
    response: _Object | None = None


class Made:
    """Finds the id of a whole JSON answer, or in the first events of a stream, as soon as it can be read.

    Args:
        headers: of the answer, lower-case names.
        note: is told the id, once.
    """

    def __init__(self, headers: Mapping[str, str], note: Callable[[str], None]) -> None:
        self._note = note
        self._streams = headers.get("content-type", "").startswith("text/event-stream")
        length = headers.get("content-length", "")
        self._length = int(length) if length.isdecimal() and len(length) < 12 else -1
        self._held = bytearray()
        self._over = False

    def feed(self, data: bytes) -> None:
        """A piece of the body. Never raises."""
        if self._over:
            return
        self._held += data
        if len(self._held) > MOST:
            self._give_up()
        elif self._streams:
            *lines, rest = bytes(self._held).split(b"\n")
            self._held[:] = rest
            for line in lines:
                if line.startswith(b"data:"):
                    self._event(line[5:])
        elif len(self._held) == self._length:
            self.end()

    def end(self) -> None:
        """The body has come to its end."""
        if not self._over and not self._streams:
            self._tell(self._read(bytes(self._held), _Object))
        self._give_up()

    def _event(self, text: bytes) -> None:
        event = self._read(text, _Event)
        if event is not None and event.response is not None:
            self._tell(event.response)

    @staticmethod
    def _read(text: bytes, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode(text, type=kind)
        except (ValueError, RecursionError):
            return None

    def _tell(self, made: _Object | None) -> None:
        if made is not None and made.id and not self._over:
            self._give_up()
            self._note(made.id)

    def _give_up(self) -> None:
        self._over = True
        self._held.clear()
