"""A journal on disk that survives kill -9, full disks and damaged bytes.

Its entries are lines of `checked` form, synced before they count. Each stands twice: in the journal, and in the folder
of the batch it is about; what is damaged in one place is taken from the other. A write that fails (a full disk) leaves
the file as it was before. Bulk data (records, results) is in files of its own that are written whole (temporary file,
sync, rename) before the entry that mentions them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from hapenny.batch import checked
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.stores import private

_log = get_logger("hapenny.batches")
_MAIN, _COPY = "journal.jsonl", "entries.jsonl"
_OLD = 2**40
"""Entries of version 0.1 have no number: they come before all that have one."""


class Journal:
    """Entries of `folder`/journal.jsonl. One process at a time: the folder is locked while it is open.

    `look`: only look, without the lock; nothing can be written.

    Raises:
        RuntimeError: another process has the folder.
        OSError: the folder cannot be read, or written.
    """

    def __init__(self, folder: Path, *, look: bool = False) -> None:
        self.folder = folder
        self._lock = -1
        self._main: Log | None = None
        if not look:
            private.folder(folder)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            _lock(self._lock, folder)
            self._main = Log(folder / _MAIN)
            _sync_folder(folder)
        numbered = self._numbered()
        self.entries: list[dict[str, Any]] = [numbered[number] for number in sorted(numbered)]
        self._next = max(-1, *numbered) + 1 if numbered else 0
        self._uncopied: dict[str, list[tuple[str, dict[str, Any]]]] = {}

    def _numbered(self) -> dict[int, dict[str, Any]]:
        """All entries by number: of the journal, and of the copies what is missing there."""
        numbered: dict[int, dict[str, Any]] = {}
        lost = 0
        for place, each in enumerate(self.lines(_MAIN)):
            entry = _entry(each)
            if entry is None:
                lost += 1
            else:
                numbered[entry.get("n", place - _OLD)] = entry
        if lost or not numbered:
            numbered = self._copied() | numbered
        return numbered

    def _copied(self) -> dict[int, dict[str, Any]]:
        """Entries as they stand in the folders of their batches."""
        copied: dict[int, dict[str, Any]] = {}
        for path in sorted(self.folder.glob(f"*/{_COPY}")):
            for each in checked.read(path.read_bytes()).lines:
                entry = _entry(each)
                if entry is not None:
                    copied[entry["n"]] = entry
        return copied

    def append(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Adds an entry; when this returns it is on disk. Raises `OSError`; then nothing was added."""
        assert self._main is not None
        entry = {"kind": kind, "n": self._next, **fields}
        name = str(self._next)
        self._main.append(name, entry)
        self._next += 1
        self.entries.append(entry)
        batch = fields["id"] if kind == "batch" else fields["batch"]
        self._uncopied.setdefault(batch, []).append((name, entry))
        self._copy(batch)
        return entry

    def _copy(self, batch: str) -> None:
        """Writes what the copy of a batch's entries lacks; what cannot be written now is written with the next one."""
        waiting = self._uncopied[batch]
        try:
            with contextlib.closing(self.log(f"{batch}/{_COPY}")) as copy:
                while waiting:
                    copy.append(*waiting[0])
                    waiting.pop(0)
        except OSError as error:
            _log.warning("an entry of the batch journal has no copy yet", batch=batch, error=type(error).__name__)
            return
        del self._uncopied[batch]

    def write(self, name: str, data: bytes) -> Path:
        """Writes a file of the folder, whole or not at all. Raises `OSError`."""
        path = self.folder / name
        private.write(path, data)
        _sync_folder(path.parent)
        return path

    def write_lines(self, name: str, named: Iterable[tuple[str, Any]]) -> None:
        """Writes a file of `checked` lines, whole or not at all. Raises `OSError`."""
        self.write(name, checked.lines(named))

    def read(self, name: str) -> bytes:
        """A file of the folder; empty if there is none."""
        path = self.folder / name
        return path.read_bytes() if path.exists() else b""

    def lines(self, name: str) -> list[checked.Line]:
        """The lines of a file; how many of them are damaged is logged."""
        lines = checked.read(self.read(name)).lines
        damaged = sum(each.json is None for each in lines)
        if damaged:
            _log.error("lines of a file of the batch journal are damaged", path=name, count=damaged)
        return lines

    def names(self, folder: str, suffix: str) -> list[str]:
        """Names of the files below `folder` that end with `suffix`."""
        return sorted(path.name for path in (self.folder / folder).glob(f"*{suffix}"))

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.folder / name).exists()

    def remove(self, name: str) -> None:
        """Removes a file of the folder, if there is one."""
        (self.folder / name).unlink(missing_ok=True)

    def log(self, name: str) -> Log:
        """A growing file of the folder."""
        return Log(self.folder / name)

    def close(self) -> None:
        """Lets go of the folder."""
        if self._main is not None:
            self._main.close()
            self._main = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextlib.contextmanager
def on_disk() -> Iterator[None]:
    """Turns a disk that takes nothing into words for the client."""
    try:
        yield
    except OSError as error:
        _log.error("the batch journal cannot be written", error=str(error))
        raise Failure("unavailable", "the disk of the batch journal takes nothing at the moment") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, private.FILE)


class Log:
    """A growing file of `checked` lines. What a crash cut off is removed when it is opened, and nothing else."""

    def __init__(self, path: Path) -> None:
        private.folder(path.parent)
        data = path.read_bytes() if path.exists() else b""
        self._size = checked.read(data).whole
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._torn = self._size < len(data)

    def append(self, name: str, value: Any) -> None:
        """Adds a line; when this returns it is on disk. Raises `OSError`; then the file is as it was before."""
        data = checked.line(name, value)
        if self._torn:
            self._restore()
        try:
            self._torn = True
            written = 0
            while written < len(data):  # a disk that fills up takes a part, and says so at the next attempt only
                written += os.write(self._file, data[written:])
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                self._restore()
            raise
        self._torn = False
        self._size += len(data)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _restore(self) -> None:
        """Cuts off what a write that failed has left."""
        os.ftruncate(self._file, self._size)
        os.fsync(self._file)
        self._torn = False


def _entry(each: checked.Line) -> dict[str, Any] | None:
    """What a line of the journal says; None for a damaged one."""
    if each.json is None:
        return None
    entry = msgspec.json.decode(each.json)
    return entry if isinstance(entry, dict) and isinstance(entry.get("kind"), str) else None


def _lock(descriptor: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no advisory locks on this platform
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise RuntimeError(f"{folder} is in use by another process; use another folder or end that process") from error


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
