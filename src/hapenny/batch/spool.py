"""What a worker has sent and what it got, in memory that outlives the process.

A call may be paid for from the moment it leaves, and is when its answer arrives; until that lies in the store a worker
that is killed would take both along. So a mark is written right before a call leaves, and the answer as soon as it has
come, into a file in `/dev/shm`: memory that a reboot empties, for this user's eyes alone. Whoever on this machine takes
over a claim of a process that has ended finds there which records it had answers to, which it had sent (these are in
doubt), and which it had not. Where there is no such memory nothing is kept, and all that it had claimed is in doubt.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from hapenny.batch.records import Result
from hapenny.core.log import get_logger

MEMORY = Path("/dev/shm")
KEPT_S = 86_400.0
LENGTH = 4
"""Bytes in front of an entry that say how long it is."""
LOOSE = 1 << 18
"""Bytes that the file may hold, and four times what counts, before it is written anew."""

_log = get_logger("hapenny.batches")


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    key: str
    result: Result | None = None
    """None: it was sent."""
    over: bool = False
    """Nothing of it counts any more."""


class Left(NamedTuple):
    """What a worker that has ended left behind of a record. `unsent`: it had certainly not sent it."""

    result: Result | None = None
    unsent: bool = False


class Spool:
    """The calls of one worker on their way; made with the first of them.

    Args:
        holder: the worker's id.
    """

    def __init__(self, holder: str) -> None:
        self._path = place(holder)
        self._file: int | None = None
        self._broken = False
        self._counts: dict[str, bytes] = {}
        """Entries that count, as they are written, by key."""
        self._answered: set[str] = set()
        self._size = 0

    def open(self) -> None:
        """Makes the file, before the first record is claimed: from now on what is not in it was not sent."""
        if self._file is None and not self._broken and MEMORY.is_dir():
            try:
                self._file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
            except OSError as error:
                self._fail(error)

    def sent(self, key: str) -> None:
        """Marks a record: its call leaves now. Never raises."""
        if key not in self._counts:
            self._put(_Entry(key))

    def was_sent(self, key: str) -> bool:
        """Whether a record is under way, as far as is known here."""
        return key in self._counts and key not in self._answered

    def add(self, key: str, result: Result) -> None:
        """Keeps an answer until `done`. Never raises: what cannot be kept is in doubt if the process is killed now."""
        self._answered.add(key)
        self._put(_Entry(key, result))

    def done(self, key: str) -> None:
        """A call is over, and what came of it lies in the store, or nothing did."""
        self._answered.discard(key)
        if self._counts.pop(key, None) is None:
            return
        if not self._counts:
            self._guarded(self._empty)
        elif self._size > LOOSE and self._size > 4 * sum(map(len, self._counts.values())):
            self._guarded(self._anew)
        else:
            self._guarded(lambda: self._write(_framed(_Entry(key, over=True))))

    def close(self) -> None:
        """Removes the file, unless something in it never reached the store."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            if not self._counts:
                self._path.unlink(missing_ok=True)

    def _put(self, entry: _Entry) -> None:
        self.open()
        data = self._counts[entry.key] = _framed(entry)
        self._guarded(lambda: self._write(data))

    def _write(self, data: bytes) -> None:
        if self._file is not None:
            if os.write(self._file, data) != len(data):
                raise OSError("no room")
            self._size += len(data)

    def _empty(self) -> None:
        if self._file is not None:
            os.ftruncate(self._file, 0)
            self._size = 0

    def _anew(self) -> None:
        """Writes what counts alone, into a file that takes the place of this one whole."""
        if self._file is None:
            return
        other = self._path.with_suffix(".new")
        data = b"".join(self._counts.values())
        descriptor = os.open(other, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError("no room")
            other.rename(self._path)
        except OSError:
            os.close(descriptor)
            other.unlink(missing_ok=True)
            raise
        os.close(self._file)
        self._file, self._size = descriptor, len(data)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Without a file everything claimed here is in doubt, which is true; with half of one it would not be."""
        _log.warning("calls of a batch cannot be noted in memory", error=error)
        self._broken = True
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._path.unlink(missing_ok=True)


def place(holder: str) -> Path:
    """Where the calls of a worker lie."""
    return MEMORY / f"hapenny-{os.getuid()}-{holder}"


def sweep(now: float) -> None:
    """Removes what workers of this user left behind long ago."""
    for path in MEMORY.glob(f"hapenny-{os.getuid()}-worker_*"):
        try:
            if now - path.stat().st_mtime > KEPT_S:
                path.unlink()
        except OSError:  # somebody else was quicker
            continue


def left_behind(holder: str, key: str) -> Left:
    """What a worker that has ended left behind of a record."""
    if not holder.replace("_", "").isalnum():
        return Left()
    try:
        path = place(holder)
        if path.stat().st_uid != os.getuid():
            return Left()
        data = path.read_bytes()
    except OSError:
        return Left()
    at, known = 0, Left(unsent=True)
    while at + LENGTH <= len(data):
        size = int.from_bytes(data[at : at + LENGTH], "big")
        piece = data[at + LENGTH : at + LENGTH + size]
        at += LENGTH + size
        try:
            entry = msgspec.msgpack.decode(piece, type=_Entry)
        except msgspec.MsgspecError:  # the last one was cut off: it was an answer, or had not been sent
            break
        if entry.key == key:
            known = Left(entry.result, unsent=entry.over)
    return known


def _framed(entry: _Entry) -> bytes:
    data = msgspec.msgpack.encode(entry)
    return len(data).to_bytes(LENGTH, "big") + data
