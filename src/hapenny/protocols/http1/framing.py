"""HTTP/1.1 message framing (RFC 9112 §6 and §7): heads and bodies out of bytes.

Theory of operation. One parser reads one direction of one connection. Its state says what the next byte is:

    HEAD -> (LENGTH | SIZE -> CHUNK -> CRLF -> SIZE … -> TRAILER | CLOSE) -> DONE -> HEAD of the next message

    HEAD     up to the blank line; then the subclass's `head` reads it and calls `no_body`, `length`, `chunks` or
             `until_close`, which choose the next state (none of them: another head follows, as after 1xx)
    LENGTH   a body of known length
    SIZE     the line with a chunk's size; CHUNK its bytes; CRLF the line end behind them
    TRAILER  field lines behind the last chunk; they are checked and dropped
    CLOSE    a body that ends with the connection
    DONE     the message is complete; bytes behind it stay in the buffer until `next`

Bytes are kept once, with an offset: what waits behind a message is never copied to read what is in front of it.
Work is cut in slices: `feed` gives up after `STEPS` lines and says so, so that a peer who sends a body in chunks of
two bytes has its turn like everybody else. Small pieces are joined as they come: a body costs what it carries.
"""

from __future__ import annotations

import re

from hapenny.protocols.http1.fields import Malformed, field

HEAD_BYTES = 1 << 16
"""The longest head, and the longest trailer section."""
EXTENSION_BYTES = 1 << 14
"""All chunk extensions of a message together. They mean nothing to anybody; RFC 9112 §7.1.1 asks for a limit."""
SIZE_LINE = 1 << 10
"""The longest line with a chunk's size."""
STEPS = 2_048
"""Lines read in one go."""
SMALL = 4_096
"""Pieces below this size are joined."""

HEAD, LENGTH, SIZE, CHUNK, CRLF, TRAILER, CLOSE, DONE = range(8)
_BODY = (CHUNK, LENGTH)
_HEX = frozenset(b"0123456789abcdefABCDEF")
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_EXTENSIONS = re.compile(
    rb"(?:;"
    + _TOKEN
    + rb"(?:=(?:"
    + _TOKEN
    + rb'|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)*'
)
"""As RFC 9112 §7.1.1 has them, but for the white space that it calls bad."""
_BARE = re.compile(rb"(?<!\r)\n|\r[^\n]")
_NEVER_TRAILERS = frozenset({"content-length", "transfer-encoding", "host", "authorization"})
"""Fields that frame, route or authorise a message: not where they come too late (RFC 9110 §6.5.1)."""


_REMEMBERED = 4_096
_SIZES: dict[bytes, int] = {}
"""Chunk sizes read before, by how they were written."""


def _plain_size(text: bytes) -> int:
    """The size that a chunk's line says, where it says nothing else; 0 for the last chunk's, and any other line."""
    if not 0 < len(text) <= 15 or not _HEX.issuperset(text):
        return 0
    size = int(text, 16)
    if len(_SIZES) < _REMEMBERED:
        _SIZES[text] = size
    return size


class Parser:
    """Cuts one message after the other out of bytes. Subclasses read heads."""

    __slots__ = ("_at", "_data", "_extra", "_left", "_searched", "held", "keeps", "out", "state")

    def __init__(self) -> None:
        self.state = DONE
        self.out: list[bytes | bytearray] = []
        """Pieces of the body that nobody has taken yet."""
        self.held = 0
        """Bytes of the body that came and were not taken."""
        self.keeps = True
        """Whether bodies are wanted; else they are read and dropped."""
        self._data = b""
        self._at = 0
        self._searched = 0
        """Up to where no end of the head was seen, counted from `_at`."""
        self._left = 0
        self._extra = 0

    # -- what subclasses do ------------------------------------------------------------------------------------------

    def head(self, text: str) -> None:
        """Reads a head (without its last blank line) and calls one of `no_body`, `length`, `chunks`, `until_close`;
        none of them: another head follows.

        Raises:
            Malformed: it is no head.
        """
        raise Malformed("nothing reads this head")

    def no_body(self) -> None:
        """The message is complete."""
        self.state = DONE

    def length(self, text: str) -> int:
        """The body has the length that `text` says; returns it."""
        if not (text.isascii() and text.isdigit()) or len(text) > 15:
            raise Malformed("no length")
        left = self._left = int(text)
        self.state = LENGTH if left else DONE
        return left

    def chunks(self, coding: str) -> None:
        """The body comes in chunks."""
        if coding.lower() != "chunked":
            raise Malformed("an unknown transfer coding")
        self.state, self._extra = SIZE, 0

    def until_close(self) -> None:
        """The body ends with the connection."""
        self.state = CLOSE

    # -- bodies ------------------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """The pieces of the body that have come."""
        out = self.out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self.held = 0
        return data if type(data) is bytes else bytes(data)

    def _keep(self, start: int, stop: int) -> None:
        size = stop - start
        self.held += size
        if not self.keeps:
            return
        data = self._data
        self._gather(data if size == len(data) else data[start:stop])

    def _gather(self, part: bytes) -> None:
        """Puts a piece behind those that came; small ones are joined."""
        out = self.out
        if len(part) < SMALL and out:
            last = out[-1]
            if type(last) is bytearray:
                if len(last) < 16 * SMALL:
                    last += part
                    return
            elif len(last) < SMALL:
                joined = bytearray(last)
                joined += part
                out[-1] = joined
                return
        out.append(part)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def behind(self) -> int:
        """Bytes that were fed and not read: part of a line, or what follows a complete message."""
        return len(self._data) - self._at

    def store(self, data: bytes) -> None:
        """Keeps bytes for later."""
        self._data, self._at = (self._data[self._at :] + data if self._at < len(self._data) else data), 0

    def rest(self) -> bytes:
        """Takes what was fed and not read."""
        data, self._data, self._at = self._data[self._at :], b"", 0
        return data

    def next(self) -> None:
        """Gets ready for the head of the next message, in what is left or comes."""
        self.state, self._searched = HEAD, 0

    def advance(self) -> bool:
        """Reads on in what was fed; see `feed`."""
        return self.feed(b"")

    def feed(self, data: bytes) -> bool:
        """Takes bytes and reads on.

        Returns whether there is more to read at once: then `advance` is called, after others had their turn.

        Raises:
            Malformed: this is no HTTP/1.1.
        """
        at, kept = self._at, self._data
        if data:
            self._data, self._at = (kept[at:] + data if at < len(kept) else data), 0
        steps = STEPS
        end = len(self._data)
        while self._at < end:
            state = self.state
            if state in _BODY:
                at = self._at
                stop = min(end, at + self._left)
                self._left -= stop - at
                self._at = stop
                self._keep(at, stop)
                if not self._left:
                    self.state = DONE if state == LENGTH else CRLF
                continue
            if state == DONE:
                return False
            if state == CLOSE:
                at, self._at = self._at, end
                self._keep(at, end)
                break
            if not steps:
                return True
            steps -= 1
            if state == SIZE:
                before = self._at
                steps = self._usual(end, steps)
                if self._at != before:
                    continue
            if not (self._line(end) if state != HEAD else self._head(end)):
                return False
        self._data, self._at = b"", 0
        return False

    def _usual(self, end: int, steps: int) -> int:
        """Reads chunks that have come whole and without extensions, as most do, each with its three parts at once;
        how many of `steps` are left: a chunk has two lines."""
        data, at, parts = self._data, self._at, []
        while True:
            stop = data.find(b"\r\n", at, at + 18)
            if stop < 0:
                break
            size = _SIZES.get(data[at:stop]) or _plain_size(data[at:stop])
            start = stop + 2
            last = start + size
            if not size or last > end - 2 or data[last : last + 2] != b"\r\n":
                break
            parts.append(data[start:last])
            at = last + 2
            if steps < 2:
                steps = 0
                break
            steps -= 2
        if not parts:
            return steps
        self._at = at
        part = parts[0] if len(parts) == 1 else b"".join(parts)
        self.held += len(part)
        if not self.out and self.keeps:
            self.out.append(part)
        elif self.keeps:
            self._gather(part)
        return steps

    def _head(self, end: int) -> bool:
        data, at = self._data, self._at
        stop = data.find(b"\r\n\r\n", at + self._searched)
        size = (stop if stop >= 0 else end) - at
        if size > HEAD_BYTES:
            raise Malformed("the head is too long", 431)
        if stop < 0:
            if _BARE.search(data, at + self._searched):
                raise Malformed("a bare line break")
            self._searched = max(0, size - 3)
            return False
        self._at, self._searched = stop + 4, 0
        self.head(data[at:stop].decode("latin-1"))
        return True

    def _line(self, end: int) -> bool:
        """Reads one line around chunks; False: it has not come whole."""
        data, at, state = self._data, self._at, self.state
        if state == CRLF:
            if end - at < 2:
                if data[at] != 13:
                    raise Malformed("a chunk is longer than its size")
                return False
            if data[at : at + 2] != b"\r\n":
                raise Malformed("a chunk is longer than its size")
            self.state, self._at = SIZE, at + 2
            return True
        stop = data.find(b"\r\n", at)
        if stop < 0:
            if end - at > (SIZE_LINE if state == SIZE else HEAD_BYTES):
                raise Malformed("a line has no end")
            if _BARE.search(data, at):
                raise Malformed("a bare line break")
            return False
        self._at = stop + 2
        if state == SIZE:
            self._left = self._size(data[at:stop])
            self.state = CHUNK if self._left else TRAILER
            if not self._left:
                self._extra = 0
        elif stop == at:
            self.state = DONE
        else:
            self._extra += stop - at
            if self._extra > HEAD_BYTES:
                raise Malformed("the trailers are too long", 431)
            if field(data[at:stop].decode("latin-1"))[0] in _NEVER_TRAILERS:
                raise Malformed("a field that may not be a trailer")
        return True

    def _size(self, line: bytes) -> int:
        size, mark, _ = line.partition(b";")
        if mark:
            self._extra += len(line) - len(size)
            if self._extra > EXTENSION_BYTES or not _EXTENSIONS.fullmatch(line, len(size)):
                raise Malformed("no chunk extension")
        if not size or len(size) > 15 or not _HEX.issuperset(size):
            raise Malformed("no chunk size")
        return int(size, 16)
