"""Files and folders that nobody else on the machine may read: 0600 and 0700, whatever the process's umask is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FILE = 0o600
FOLDER = 0o700


def folder(path: Path) -> Path:
    """Makes a folder and those above it that are missing, for this user alone; one that is there stays as it is."""
    missing = []
    above = path
    while not above.exists():
        missing.append(above)
        above = above.parent
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode=FOLDER)
    return path


def file(path: str | Path) -> None:
    """Makes an empty file, and its folder, for this user alone, where there is none. What SQLite puts beside a database
    gets the mode of the database."""
    place = Path(path)
    folder(place.parent)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE))


def write(path: Path, data: bytes) -> None:
    """Writes a file for this user alone, whole or not at all. Raises `OSError`."""
    folder(path.parent)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, FILE)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
