"""Chunks of a streamed OpenAI answer that differ in their text alone, read many at once, and told as one piece of text.

Theory of operation. A server writes one chunk like the other: the same bytes around another piece of text. Once a
plain chunk was decoded, what stands around its text is known (`learn`). Of bytes that begin and end like that, what is
between `last` and `lead` are texts; each whose bytes mean themselves in JSON (no quote, escape or control character,
valid UTF-8) would decode to the very chunk that was learnt, with that text. Nothing is guessed: a chunk is learnt only
where it holds no escape at all and one key `content`, and a piece that is not plain is decoded like any other chunk.
Chunks that came together are one event, carried by all their frames: nobody can tell from text when it was cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from hapenny.core.events import Event, TextDelta

TRIES = 4
"""Chunks that are learnt from: a server that writes each in another way (with `obfuscation`, say) has no runs."""
_KEY = b'"content"'
Odd: TypeAlias = Callable[[bytes, list[Event], bytes], bool]


class Runs:
    """The form of one answer's chunks."""

    __slots__ = ("_between", "_last", "_lead", "_tries", "known", "wanted")

    def __init__(self) -> None:
        self.known = False
        """Whether there is a form to look for."""
        self.wanted = True
        """Whether a chunk may still be learnt from."""
        self._tries = TRIES
        self._lead = self._last = self._between = b""

    def learn(self, payload: bytes, text: str) -> None:
        """Takes the form of a chunk that was decoded to nothing but `text`."""
        self._tries -= 1
        self.wanted = self._tries > 0
        piece = text.encode("utf-8", "surrogatepass")
        at = payload.find(_KEY)
        if b"\\" in payload or at < 0 or payload.find(_KEY, at + 1) >= 0:
            return
        start = payload.find(b'"', at + len(_KEY)) + 1
        stop = start + len(piece)
        if payload[at + len(_KEY) : start].strip() != b':"' and payload[at + len(_KEY) : start].split() != [b":", b'"']:
            return
        if payload[start:stop] == piece and payload[stop : stop + 1] == b'"' and b"\n" not in payload:
            self._lead, self._last = b"data: " + payload[:start], payload[stop:] + b"\n\n"
            self._between = self._last + self._lead
            self.known, self.wanted = True, False

    def take(self, data: bytes, block: int, choice: int, odd: Odd) -> tuple[list[Event], bytes]:
        """The events of the run that `data` begins with, and what of `data` follows it: all where it begins with none.
        `odd` reads a chunk of the run whose text has to be decoded; False ends the run before it."""
        lead, last = self._lead, self._last
        if not data.startswith(lead) or (end := data.rfind(last)) <= len(lead):
            return [], data
        stop = end + len(last)
        raw, rest = (data, b"") if stop == len(data) else (data[:stop], data[stop:])
        whole = data[len(lead) : end]
        pieces = [whole]
        try:
            text = whole.decode()
            if not text.isprintable():  # several, most likely: there is a line end between two
                pieces = whole.split(self._between)
                text = b"".join(pieces).decode()
            plain = text.isprintable() and '"' not in text and "\\" not in text
            if plain and b"" not in pieces and (text.isascii() or all(map(bytes.decode, pieces))):
                return [TextDelta(text, block, choice, raw)], rest
        except UnicodeDecodeError:
            pass
        events: list[Event] = []
        at = 0
        for piece in pieces:
            frame = lead + piece + last
            if piece.find(b"\n") >= 0 or not odd(frame[6:-2], events, frame):
                return events, data[at:]
            at += len(frame)
        return events, rest
