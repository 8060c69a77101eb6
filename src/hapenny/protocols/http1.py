"""HTTP/1.1 framing (RFC 9112), sans-IO: heads and bodies out of bytes, for both banks.

A message ends by length, by chunks or by the end of the connection. What is ambiguous is an error, never a guess:
two hops that disagree about where a message ends are how requests are smuggled.
"""

from __future__ import annotations

from collections.abc import Mapping

HEAD_BYTES = 1 << 16
"""The longest head, and the longest trailer."""

HEAD, LENGTH, SIZE, CHUNK, CRLF, TRAILER, CLOSE, DONE = range(8)
_HEX = frozenset(b"0123456789abcdefABCDEF")
_BREAKS = ("\r", "\n", "\0")


class Parser:
    """Cuts one message after the other out of bytes. Subclasses read the head and say how the body ends."""

    __slots__ = ("_left", "_tail", "held", "out", "state")

    def __init__(self) -> None:
        self.state = DONE
        self.out: list[bytes] = []
        """Pieces of the body that nobody has taken yet."""
        self.held = 0
        """Their length."""
        self._tail = b""
        self._left = 0

    def head(self, text: str) -> None:
        """Reads a head (without its last blank line) and calls one of `no_body`, `length`, `chunks`, `until_close`;
        none of them: another head follows.

        Raises:
            ValueError: it is no head.
        """
        raise ValueError("nothing reads this head")

    def no_body(self) -> None:
        """The message is complete."""
        self.state = DONE

    def length(self, text: str) -> None:
        """The body has the length that `text` says."""
        if not (text.isascii() and text.isdigit()) or len(text) > 15:
            raise ValueError("no length")
        self._left = int(text)
        self.state = LENGTH if self._left else DONE

    def chunks(self, coding: str) -> None:
        """The body comes in chunks."""
        if coding.lower() != "chunked":
            raise ValueError("an unknown transfer coding")
        self.state = SIZE

    def until_close(self) -> None:
        """The body ends with the connection."""
        self.state = CLOSE

    def take(self) -> bytes:
        """The pieces of the body that have come."""
        out = self.out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self.held = 0
        return data

    def feed(self, data: bytes) -> bytes:
        """Takes bytes; returns what follows a complete message.

        Raises:
            ValueError: this is no HTTP/1.1.
        """
        if self._tail:
            data, self._tail = self._tail + data, b""
        at, end = 0, len(data)
        while at < end:
            state = self.state
            if state in (CHUNK, LENGTH):
                part = data[at : at + self._left] if at or self._left < end else data
                self.out.append(part)
                self.held += len(part)
                at += len(part)
                self._left -= len(part)
                if not self._left:
                    self.state = DONE if state == LENGTH else CRLF
            elif state == DONE:
                return data[at:] if at else data
            elif state == CLOSE:
                part = data[at:] if at else data
                self.out.append(part)
                self.held += len(part)
                return b""
            elif state == CRLF:
                if end - at < 2:
                    break
                if data[at : at + 2] != b"\r\n":
                    raise ValueError("a chunk is longer than its size")
                self.state = SIZE
                at += 2
            elif state == HEAD:
                stop = data.find(b"\r\n\r\n", at)
                if stop < 0:
                    if end - at > HEAD_BYTES:
                        raise ValueError("the head is too long")
                    break
                if stop - at > HEAD_BYTES:
                    raise ValueError("the head is too long")
                self.head(data[at:stop].decode("latin-1"))
                at = stop + 4
            else:
                line = data.find(b"\r\n", at)
                if line < 0:
                    if end - at > (1024 if state == SIZE else HEAD_BYTES):
                        raise ValueError("a line has no end")
                    break
                if state == SIZE:
                    size = data[at:line].partition(b";")[0].strip(b" \t")
                    if not size or len(size) > 15 or not _HEX.issuperset(size):
                        raise ValueError("no chunk size")
                    self._left = int(size, 16)
                    self.state = CHUNK if self._left else TRAILER
                elif line == at:
                    self.state = DONE
                at = line + 2
        if at < end:
            self._tail = data[at:] if at else data
        return b""


def fields(lines: list[str]) -> dict[str, str]:
    """Header lines by lower-case names; repeated ones are joined by commas.

    Raises:
        ValueError: a line is no header.
    """
    found: dict[str, str] = {}
    for line in lines:
        name, value = _LINES.get(line) or _field(line)
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


_LINES: dict[str, tuple[str, str]] = {}
"""Lines read before: most clients say the same about themselves with every request."""
_SECRET = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie", "x-amz-security-token"})


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name[0] in " \t" or name[-1] in " \t":
        raise ValueError("no header")
    pair = name.lower(), value.strip(" \t")
    if len(line) <= 128 and pair[0] not in _SECRET:
        if len(_LINES) >= 2_048:
            _LINES.clear()
        _LINES[line] = pair
    return pair


def written(first: str, headers: Mapping[str, str], more: str = "") -> bytes:
    """A head: its first line, `headers`, and `more` lines that are known to be sound.

    Raises:
        ValueError: a name, a value or the first line could break out of its line.
    """
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    breaks = len(headers)
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text or any(c in first for c in _BREAKS):
        raise ValueError("a line break where none may be")
    return f"{first}\r\n{more}{text}\r\n".encode("latin-1")
