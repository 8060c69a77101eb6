"""Chunks of a streamed OpenAI answer that differ in their text alone, read many at once.

Theory of operation. A server writes one chunk like the other: the same bytes around another piece of text. Once a
plain chunk was decoded, what stands around its text is known (`learn`). Of bytes that begin and end like that, what is
between `last` and `lead` are texts; each whose bytes mean themselves in JSON (no quote, no escape, no control character,
valid UTF-8) would decode to the very chunk that was learnt, with that text. Nothing is guessed: a chunk is learnt only
where it holds no escape at all and one key `content`, and a piece that is not plain is decoded like any other chunk.
"""

from __future__ import annotations

from collections.abc import Callable

from hapenny.core.events import Event, TextDelta

TRIES = 4
"""Chunks that are learnt from: a server that writes each in another way (with `obfuscation`, say) has no runs."""
_KEY = b'"content"'


class Runs:
    """The form of one answer's chunks. `lead` and `last` are b"" until it is known."""

    __slots__ = ("_between", "_last", "_lead", "_tries")

    def __init__(self) -> None:
        self._tries = TRIES
        self._lead = self._last = self._between = b""

    @property
    def known(self) -> bool:
        """Whether there is a form to look for."""
        return bool(self._lead)

    @property
    def wanted(self) -> bool:
        """Whether a chunk may still be learnt from."""
        return not self._lead and self._tries > 0

    def learn(self, payload: bytes, text: str) -> None:
        """Takes the form of a chunk that was decoded to nothing but `text`."""
        self._tries -= 1
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

    def take(
        self, data: bytes, block: int, choice: int, events: list[Event], odd: Callable[[bytes, list[Event], bytes], bool]
    ) -> bytes:
        """Appends the events of the run that `data` begins with; what is left of `data`, all of it where it begins with
        none. `odd` reads a chunk of the run whose text has to be decoded; False ends the run before it."""
        lead, last = self._lead, self._last
        if not data.startswith(lead) or (end := data.rfind(last)) <= len(lead):
            return data
        whole = data[len(lead) : end]
        pieces = [whole]
        if b"\n" in whole:
            pieces = whole.split(self._between)
            whole = b"".join(pieces)
        rest = data[end + len(last) :]
        try:
            if b'"' not in whole and b"\\" not in whole and whole.decode().isprintable() and b"" not in pieces:
                if len(pieces) > 1:
                    events += [TextDelta(piece.decode(), block, choice, lead + piece + last) for piece in pieces]
                else:
                    events.append(TextDelta(whole.decode(), block, choice, lead + whole + last if rest else data))
                return rest
        except UnicodeDecodeError:
            pass
        return self._mixed(data, pieces, rest, events, odd)

    def _mixed(
        self,
        data: bytes,
        pieces: list[bytes],
        rest: bytes,
        events: list[Event],
        odd: Callable[[bytes, list[Event], bytes], bool],
    ) -> bytes:
        """`take` for a run of which some texts have to be decoded."""
        lead, last, at = self._lead, self._last, 0
        for piece in pieces:
            raw = lead + piece + last
            if b"\n" in piece or not odd(raw[6:-2], events, raw):
                return data[at:]
            at += len(raw)
        return rest
