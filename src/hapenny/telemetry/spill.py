"""Rows that could not be written when a gateway ended, put aside in a file that the next start reads.

It lies beside the ledger, or, where that disk takes nothing, in the system's folder for temporary files. It is ours
alone (0600), and one that is not is not read: rows in it become books. Each line has a checksum; a damaged one is left
out and counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from hapenny.telemetry.rows import Entry, Row


class _Line(Struct, omit_defaults=True):
    row: Row | None = None
    entry: Entry | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


def save(ledger: str, items: Sequence[Row | Entry], name: str) -> Path | None:
    """Puts rows aside for the next start with the ledger at that path; where. None: no disk takes them.

    Args:
        name: of this file among others of the same ledger.
    """
    for folder, prefix in _places(ledger):
        path = folder / f"{prefix}{name}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError:
            continue
        try:
            with open(file, "wb") as out:
                for item in items:
                    data = _encode(_Line(row=item) if isinstance(item, Row) else _Line(entry=item))
                    out.write(b"%08x %b\n" % (zlib.crc32(data), data))
                out.flush()
                os.fsync(out.fileno())
            return path
        except OSError:  # half a file would be read as the whole
            with contextlib.suppress(OSError):
                path.unlink()
    return None


def left(ledger: str) -> Iterator[Path]:
    """Files that were put aside for a ledger and are ours."""
    for folder, prefix in _places(ledger):
        with contextlib.suppress(OSError):
            for path in sorted(folder.glob(prefix.replace("[", "[[]") + "*")):
                if _ours(path):
                    yield path


def load(path: Path) -> tuple[list[Row | Entry], int]:
    """The rows of a file, and how many lines are damaged. Raises `OSError`."""
    items: list[Row | Entry] = []
    damaged = 0
    for line in path.read_bytes().splitlines():
        try:
            sum_, data = int(line[:8], 16), line[9:]
            if zlib.crc32(data) != sum_:
                raise ValueError("the checksum differs")
            known = _decode(data)
        except (ValueError, msgspec.MsgspecError):
            damaged += 1
            continue
        item = known.row if known.row is not None else known.entry
        if item is not None:
            items.append(item)
    return items, damaged


def _places(ledger: str) -> list[tuple[Path, str]]:
    path = Path(ledger).absolute()
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
    return [(path.parent, f"{path.name}.spill-"), (Path(tempfile.gettempdir()), f"hapenny-{digest}.spill-")]


def _ours(path: Path) -> bool:
    known = path.lstat()
    return stat.S_ISREG(known.st_mode) and known.st_uid == os.geteuid() and not known.st_mode & 0o077
