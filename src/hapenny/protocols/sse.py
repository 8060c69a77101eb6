"""Server-sent events: framing only (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from hapenny.core.errors import Failure

LIMIT = 32 << 20
"""Bytes of one event; a provider that sends more is not sending events."""

Frame = tuple[bytes, bytes]
"""Event name (b"" if none) and data."""


class Parser:
    """Bytes to frames. Comments, ids and retry times are dropped; all three line ends are understood. A field `error`,
    which older llama.cpp servers send instead of data, makes a frame of that name."""

    __slots__ = ("_edge", "_first", "_held", "_parts")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        """What came and makes no frame yet; a long event is put together once."""
        self._held = 0
        self._edge = b""
        """The last bytes of it: an event's end may lie across two pieces."""
        self._first = True

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes.

        Raises:
            Failure: `upstream`, for an event larger than `LIMIT`.
        """
        if self._parts:
            seam = self._edge + data
            if not (self._first or b"\n\n" in seam or b"\n\r" in seam or b"\r\r" in seam):
                self._hold(data, seam)
                return []
            data = b"".join((*self._parts, data))
            self._parts, self._held = [], 0
        if self._first and data:
            if data[0] == 0xEF:
                if len(data) < 3:
                    self._hold(data, data)
                    return []
                data = data.removeprefix(b"\xef\xbb\xbf")
            self._first = False
        tail = b""
        if b"\r" in data:
            if data.endswith(b"\r"):  # perhaps the first half of a line end
                data, tail = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        blocks = data.split(b"\n\n")
        rest = blocks.pop() + tail
        if rest:
            self._hold(rest, rest)
        frames = []
        for block in blocks:
            frame = _fields(block)
            if frame is not None:
                frames.append(frame)
        return frames

    def _hold(self, data: bytes, seam: bytes) -> None:
        self._parts.append(data)
        self._held += len(data)
        self._edge = seam[-3:]
        if self._held > LIMIT:
            raise Failure("upstream", "The provider's stream holds an event of more than 32 MiB.")

    @property
    def rest(self) -> bytes:
        """What came and makes no frame yet."""
        return b"".join(self._parts)

    def flush(self) -> list[Frame]:
        """The frame that lacks only its blank line at the end of the stream."""
        rest, self._parts = self.rest.replace(b"\r", b"\n").strip(b"\n"), []
        frame = _fields(rest) if rest else None
        return [] if frame is None else [frame]


def _fields(block: bytes) -> Frame | None:
    if block.startswith(b"data: "):
        if b"\n" not in block:
            return b"", block[6:]
    elif block.startswith(b"event: "):
        end = block.find(b"\n")
        if block[end + 1 : end + 7] == b"data: " and block.find(b"\n", end + 1) < 0:
            return block[7:end], block[end + 7 :]
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        key, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if key == b"data":
            data.append(value)
        elif key == b"event":
            name = value
        elif key == b"error":
            name = key
            data.append(value)
    if not data:
        return None
    return name, b"\n".join(data)


def comment(facts: dict[str, str]) -> bytes:
    """A comment line that clients skip: `: key=value; key=value`."""
    text = "; ".join(f"{key}={value}" for key, value in facts.items())
    return b": " + (text or "keep-alive").replace("\r", " ").replace("\n", " ").encode() + b"\n\n"
