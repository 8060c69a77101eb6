"""What was learnt, kept over a restart: named dumps in a small SQLite file, saved every few minutes and at the end.

Losing it costs accuracy for a while and never an answer; so whatever cannot be read is left out, with a log line, and a
file that somebody took away while it was open is made anew with all that is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from hapenny.core.clock import Clock
from hapenny.core.guard import Guard
from hapenny.core.log import get_logger
from hapenny.stores.sqlite import SqliteFile, SqliteKeyValue

VERSION = 1
"""Of all that is kept; raised when a dump's meaning changes."""
EVERY = 180.0
"""Seconds between two saves."""

_log = get_logger("hapenny.learnt")


class Part(msgspec.Struct, frozen=True):
    """Something that learns: `dumps` runs on the loop and is quick, `loads` takes over a dump or raises."""

    dumps: Callable[[], bytes]
    loads: Callable[[bytes], object]


class _Kept(msgspec.Struct):
    version: int
    wall: float
    data: bytes


class Learnt:
    """The state file.

    Args:
        path: of the SQLite file; its folder is made.
        clock: the deployment's clock.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._parts: dict[str, Part] = {}
        self._task: asyncio.Task[None] | None = None
        self.guard = Guard("saving of what is learnt", clock)
        self._store: SqliteKeyValue | None = None
        self._last: dict[str, bytes] = {}
        self._place: tuple[int, int] | None = None
        """Which file is open: device and inode."""

    async def start(self, parts: Mapping[str, Part]) -> list[str]:
        """Opens the file, hands every part what was kept of it, and saves them from now on; the names of those it
        taught. Started again, as after a reload, it saves the parts given last, and teaches those it did not know.

        Args:
            parts: what learns, by the name it is kept under.
        """
        new = {name: part for name, part in parts.items() if name not in self._parts}
        self._parts = dict(parts)
        if self._task is None:
            self._store = await self._clock.work("sqlite", 1.0, self._open)
            self._task = asyncio.get_running_loop().create_task(self.guard.keep(self._run))
        return await self._teach(new)

    async def _teach(self, parts: Mapping[str, Part]) -> list[str]:
        taken: list[str] = []
        store = self._store
        if store is None:
            return taken
        for name, part in parts.items():
            try:
                value = await store.get(name)
                if value is None:
                    continue
                kept = msgspec.msgpack.decode(value, type=_Kept)
                if kept.version != VERSION:
                    _log.warning("learnt state of another version is left out", name=name, version=kept.version)
                    continue
                part.loads(kept.data)
            except (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError, ArithmeticError) as error:
                _log.warning("learnt state cannot be read and is left out", name=name, error=error)
                continue
            self._last[name] = kept.data
            taken.append(name)
        return taken

    async def save(self) -> None:
        """Keeps what is new. Never raises for the disk's sake."""
        await self._look()
        store = self._store
        if store is None:
            return
        for name, part in self._parts.items():
            data = part.dumps()
            if data == self._last.get(name):
                continue
            try:
                await store.set(name, msgspec.msgpack.encode(_Kept(VERSION, self._clock.wall(), data)))
            except sqlite3.Error as error:
                _log.warning("learnt state could not be kept", name=name, error=error)
                continue
            self._last[name] = data

    async def aclose(self) -> None:
        """Saves and closes the file. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.save()
        store, self._store = self._store, None
        if store is not None:
            await store.aclose()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self.save()

    async def _look(self) -> None:
        """Makes a new file where the one that was open has gone: what is saved there would be read by nobody."""
        store = self._store
        if store is None or self._where() == self._place:
            return
        fresh = await self._clock.work("sqlite", 1.0, self._open)
        if fresh is None:  # said in the log, and tried again with the next save
            return
        self._store, self._last = fresh, {}
        with contextlib.suppress(sqlite3.Error):
            await store.aclose()
        _log.error("the state file was taken away while it was open: a new one is begun", path=str(self.path))

    def _where(self) -> tuple[int, int] | None:
        try:
            known = self.path.stat()
        except OSError:
            return None
        return known.st_dev, known.st_ino

    def _open(self) -> SqliteKeyValue | None:
        opened = self._opened()
        if opened is not None:
            self._place = self._where()
        return opened

    def _opened(self) -> SqliteKeyValue | None:
        try:
            return SqliteKeyValue(SqliteFile(str(self.path), self._clock))
        except (sqlite3.OperationalError, OSError) as error:
            _log.warning("the state file cannot be opened: what is learnt ends with this run", error=error)
            return None
        except sqlite3.DatabaseError as error:
            _log.warning("the state file is damaged: it is set aside and a new one begun", error=error)
        try:
            self.path.replace(self.path.with_name(self.path.name + ".damaged"))
            return SqliteKeyValue(SqliteFile(str(self.path), self._clock))
        except (sqlite3.Error, OSError) as error:
            _log.warning("the state file cannot be opened: what is learnt ends with this run", error=error)
            return None
