"""Which records of a batch were sent from here and are not back: what a killed process leaves in doubt.

A model call has no token under which it could be repeated. So before a record is sent a line says that it is, and
another one that its call is over; whoever opens the journal after a kill knows by them which records may have been
paid for without an answer. A line is written before the call goes out and outlives the process; with `sync` it outlives
a power cut as well, at the price of a synced write a call.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from pathlib import Path

import msgspec

from hapenny.batch.local import Keep
from hapenny.batch.records import Record, Result
from hapenny.stores import private

_SENT, _OVER = 1, -1


class Begun:
    """The marks of one batch, at `path`. What stood there before is read by `open_since`, and goes on counting.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        private.folder(path.parent)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._sync = sync

    async def take(self, record: Record) -> bool:
        """Marks a record as sent. Raises `OSError`: it must not be."""
        self._write(record.id, _SENT)
        return True

    def back(self, record: Record) -> None:
        """Its call is over, and nothing was paid."""
        self.over(record.id)

    def keeping(self, keep: Keep) -> Keep:
        """`keep`, noting of what is on disk that its call is over."""

        def noted(result: Result) -> bool:
            on_disk = keep(result)
            if on_disk:
                self.over(result.id)
            return on_disk

        return noted

    def over(self, id: str) -> None:
        """Its call is over. Never raises: at worst it is in doubt for nothing."""
        with contextlib.suppress(OSError):
            self._write(id, _OVER)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _write(self, id: str, mark: int) -> None:
        os.write(self._file, msgspec.json.encode((mark, id)) + b"\n")
        if self._sync and mark == _SENT:
            os.fsync(self._file)


def open_since(path: Path) -> list[str]:
    """Ids of the records that were sent and are not back, in the order they were sent first. A line that a crash cut
    off counts for nothing: its record was not sent."""
    if not path.exists():
        return []
    under_way: Counter[str] = Counter()
    for line in path.read_bytes().splitlines():
        try:
            mark, id = msgspec.json.decode(line, type=tuple[int, str])
        except msgspec.MsgspecError:
            continue
        under_way[id] += mark
    return [id for id, count in under_way.items() if count > 0]
