"""Whose the objects are that a provider keeps for us (responses, files, batches, conversations, fine-tunes).

They belong to the key that made them. That is kept in a file beside the ledger, so that it outlives a restart; what
nobody is known to own, nobody gets.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.stores.kv import KeyValue
from hapenny.stores.memory import MemoryKeyValue
from hapenny.stores.sqlite import SqliteFile, SqliteKeyValue

KEPT_S = 400 * 86_400.0
"""How long an owner is remembered: longer than providers keep what they were not asked to keep."""
RECENT = 10_000

_log = get_logger("hapenny.server")


class ObjectOwners:
    """Owners by backend and id.

    Args:
        path: of the file; None: nothing outlives the process.
        clock: the deployment's clock.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._opened: KeyValue | None = None
        self._recent: dict[str, str] = {}

    async def owns(self, backend: str, id: str, key_id: str) -> bool:
        """Whether the object was made with this key."""
        name = f"{backend}\0{id}"
        known = self._recent.get(name)
        if known is None:
            try:
                value = await self._store().get(name)
            except (sqlite3.Error, OSError) as error:
                _log.error("owners of objects cannot be read", error=error)
                return False
            known = value.decode() if value is not None else None
        return known == key_id

    def note(self, backend: str, id: str, key_id: str) -> None:
        """An object was made. What is known of an id does not change."""
        self._recent.setdefault(f"{backend}\0{id}", key_id)
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    async def keep(self, backend: str, id: str, key_id: str) -> None:
        """Writes an owner down. Never raises for the disk's sake."""
        try:
            await self._store().compare_and_set(f"{backend}\0{id}", None, key_id.encode(), KEPT_S)
        except (sqlite3.Error, OSError) as error:
            _log.error("the owner of an object could not be kept", error=error)

    async def aclose(self) -> None:
        """Closes the file."""
        opened, self._opened = self._opened, None
        if isinstance(opened, SqliteKeyValue):
            await opened.aclose()

    def _store(self) -> KeyValue:
        if self._opened is None:
            path = self._path
            self._opened = (
                MemoryKeyValue(self._clock, RECENT)
                if path is None
                else SqliteKeyValue(SqliteFile(str(path), self._clock))
            )
        return self._opened
