"""A journal on disk that survives kill -9: JSON lines, synced before an entry counts, a torn last line cut off.

Bulk data (records, results) is in files of its own that are written whole (temporary file, sync, rename) before the
entry that mentions them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec


class Journal:
    """Entries of `folder`/journal.jsonl. One process at a time: the folder is locked while it is open.

    `look`: only look, without the lock; nothing can be written.
    """

    def __init__(self, folder: Path, *, look: bool = False) -> None:
        self.folder = folder
        self._lock = self._file = -1
        if not look:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            _lock(self._lock, folder)
        path = folder / "journal.jsonl"
        self.entries: list[dict[str, Any]] = []
        good = 0
        data = path.read_bytes() if path.exists() else b""
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            try:
                self.entries.append(msgspec.json.decode(line))
            except msgspec.DecodeError:
                break
            good += len(line)
        if look:
            return
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if good < len(data):
            os.ftruncate(self._file, good)
            os.fsync(self._file)
        _sync_folder(folder)

    def append(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Adds an entry; when this returns it is on disk."""
        entry = {"kind": kind, **fields}
        os.write(self._file, msgspec.json.encode(entry) + b"\n")
        os.fsync(self._file)
        self.entries.append(entry)
        return entry

    def write(self, name: str, data: bytes) -> Path:
        """Writes a file of the folder, whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
        return path

    def read(self, name: str) -> bytes:
        """A file of the folder; empty if there is none."""
        path = self.folder / name
        return path.read_bytes() if path.exists() else b""

    def names(self, folder: str, suffix: str) -> list[str]:
        """Names of the files below `folder` that end with `suffix`."""
        return sorted(path.name for path in (self.folder / folder).glob(f"*{suffix}"))

    def remove(self, name: str) -> None:
        """Removes a file of the folder, if there is one."""
        (self.folder / name).unlink(missing_ok=True)

    def logged(self, name: str) -> list[bytes]:
        """The whole lines of a growing file."""
        data = self.read(name)
        return data[: data.rfind(b"\n") + 1].splitlines()

    def log(self, name: str) -> Log:
        """A growing file of the folder."""
        return Log(self.folder / name)

    def close(self) -> None:
        """Lets go of the folder."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1


class Log:
    """A file of JSON lines that grows; a torn last line is ignored and overwritten."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        good = data.rfind(b"\n") + 1
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if good < len(data):
            os.ftruncate(self._file, good)

    def append(self, item: Any) -> None:
        """Adds a line; when this returns it is on disk."""
        os.write(self._file, msgspec.json.encode(item) + b"\n")
        os.fsync(self._file)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


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
