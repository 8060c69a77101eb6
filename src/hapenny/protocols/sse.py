"""Server-sent events: framing only (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from hapenny.core.errors import Failure

LIMIT = 16 << 20
"""Bytes of one event; a provider that sends more is not sending events."""

Frame = tuple[bytes, bytes]
"""Event name (b"" if none) and data."""


class Parser:
    """Bytes to frames. Comments, ids and retry times are dropped; all three line ends are understood. A field `error`,
    which older llama.cpp servers send instead of data, makes a frame of that name.

    Bytes of an event that is not complete are kept and not looked at again before its blank line comes.
    """

    __slots__ = ("_first", "_half", "_held")

    def __init__(self) -> None:
        self._held = bytearray()
        self._first = True
        self._half = False
        """Whether the last byte was a carriage return, which may be half a line end."""

    def only(self, data: bytes) -> bytes | None:
        """The data of the one event that `data` is, without a name and in one line, as most pieces of a stream are;
        None for anything else, which is for `feed`. Nothing is kept."""
        if self._first or self._half or self._held or not data.startswith(b"data: "):
            return None
        last = len(data) - 2
        if data.find(b"\n") != last or not data.endswith(b"\n") or data.find(b"\r") >= 0:
            return None
        return data[6:last]

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes.

        Raises:
            Failure: `upstream`, for an event larger than `LIMIT`.
        """
        held = self._held
        if self._first and data:
            if held:
                data = bytes(held) + data
                held.clear()
            if data[0] == 0xEF:
                if len(data) < 3:
                    held += data
                    return []
                data = data.removeprefix(b"\xef\xbb\xbf")
            self._first = False
        if self._half or data.find(b"\r") >= 0:
            data = self._plain(data)
        if held and data:
            if data.find(b"\n\n") < 0 and not (data[0] == 10 and held[-1] == 10):
                return self._keep(data)
            data = bytes(held) + data
            held.clear()
        end = data.rfind(b"\n\n")
        if end < 0:
            return self._keep(data)
        frames = []
        for block in data[:end].split(b"\n\n"):
            frame = _fields(block)
            if frame is not None:
                frames.append(frame)
        self._keep(data[end + 2 :])
        return frames

    @property
    def idle(self) -> bool:
        """Whether an event begins with the next byte."""
        return not (self._held or self._half or self._first)

    @property
    def rest(self) -> bytes:
        """What came and makes no frame yet."""
        return bytes(self._held)

    def flush(self) -> list[Frame]:
        """The frame that lacks only its blank line at the end of the stream."""
        rest = bytes(self._held).strip(b"\n")
        self._held.clear()
        frame = _fields(rest) if rest else None
        return [] if frame is None else [frame]

    def _plain(self, data: bytes) -> bytes:
        """`data` with line feeds alone as line ends."""
        if self._half and data:
            data = data.removeprefix(b"\n")
            self._half = False
        if data:
            self._half = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, data: bytes) -> list[Frame]:
        self._held += data
        if len(self._held) > LIMIT:
            raise Failure("upstream", "The provider's stream holds an event of more than 16 MiB.")
        return []


def _fields(block: bytes) -> Frame | None:
    if block.startswith(b"data: "):
        if block.find(b"\n") < 0:
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
