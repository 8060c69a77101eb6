"""Answers that a worker has and the store has not yet, in memory that outlives the process.

An answer is paid for when it arrives; until it lies in the store a worker that is killed would take it along. So it is
written, before anything is waited for, into a file in `/dev/shm`: memory that a reboot empties, for this user's eyes
alone. Whoever on this machine takes over a claim of a process that has ended finds it there. Where there is no such
memory nothing is kept, and the record is asked again.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from hapenny.batch.records import Result
from hapenny.core.log import get_logger

MEMORY = Path("/dev/shm")
KEPT_S = 86_400.0
LENGTH = 4
"""Bytes in front of an entry that say how long it is."""

_log = get_logger("hapenny.batches")


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    key: str
    result: Result


class Spool:
    """The answers of one worker on their way; made with the first of them.

    Args:
        holder: the worker's id.
    """

    def __init__(self, holder: str) -> None:
        self._path = place(holder)
        self._file: int | None = None
        self._waiting: set[str] = set()

    def add(self, key: str, result: Result) -> None:
        """Keeps an answer until `done`. Never raises: what cannot be kept is lost if the process is killed now."""
        try:
            if self._file is None:
                if not MEMORY.is_dir():
                    return
                self._file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
            data = msgspec.msgpack.encode(_Entry(key, result))
            os.write(self._file, len(data).to_bytes(LENGTH, "big") + data)
            self._waiting.add(key)
        except OSError as error:
            _log.warning("an answer of a batch cannot be kept in memory", error=error)

    def done(self, key: str) -> None:
        """An answer lies in the store. The file is emptied whenever nothing waits."""
        self._waiting.discard(key)
        if self._file is not None and not self._waiting:
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Removes the file, unless something in it never reached the store."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            if not self._waiting:
                self._path.unlink(missing_ok=True)


def place(holder: str) -> Path:
    """Where the answers of a worker lie."""
    return MEMORY / f"hapenny-{os.getuid()}-{holder}"


def sweep(now: float) -> None:
    """Removes what workers of this user left behind long ago."""
    for path in MEMORY.glob(f"hapenny-{os.getuid()}-worker_*"):
        try:
            if now - path.stat().st_mtime > KEPT_S:
                path.unlink()
        except OSError:  # somebody else was quicker
            continue


def left_behind(holder: str, key: str) -> Result | None:
    """The answer to a record that a worker which has ended had; None: there is none."""
    if not holder.replace("_", "").isalnum():
        return None
    try:
        path = place(holder)
        if path.stat().st_uid != os.getuid():
            return None
        data = path.read_bytes()
    except OSError:
        return None
    at, known = 0, None
    while at + LENGTH <= len(data):
        size = int.from_bytes(data[at : at + LENGTH], "big")
        piece = data[at + LENGTH : at + LENGTH + size]
        at += LENGTH + size
        try:
            entry = msgspec.msgpack.decode(piece, type=_Entry)
        except msgspec.MsgspecError:  # the last one was cut off
            break
        if entry.key == key:
            known = entry.result
    return known
