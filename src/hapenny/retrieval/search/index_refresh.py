"""Another process indexes, this one searches: what changed meanwhile is read along, and told."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from hapenny.core.clock import Clock
from hapenny.core.log import get_logger
from hapenny.retrieval.ingest.manifest import Manifest
from hapenny.retrieval.search.collection import Searchable

_log = get_logger("hapenny.retrieval")


class Changes:
    """Reads the log of changes beside whoever writes it. Blocking.

    Args:
        path: of the manifest, which need not be there (yet): then nothing changes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._manifest: Manifest | None = None
        self._seq = 0
        with contextlib.suppress(sqlite3.Error):
            _, self._seq = self._open().changed_after(0)

    def __call__(self) -> list[str] | None:
        """Ids of the sources that changed since the last look; None: anything may have. Raises nothing."""
        try:
            changed, self._seq = self._open().changed_after(self._seq)
        except sqlite3.Error:  # none there yet, one of an older version, or one that is just being written
            self._manifest = None
            return []
        return changed

    def _open(self) -> Manifest:
        if self._manifest is None:
            self._manifest = Manifest.reading(self._path)
        return self._manifest


async def follow(
    collection: Searchable, clock: Clock, every: float, tell: Callable[[str, list[str] | None], object]
) -> None:
    """Looks every so many seconds, without end; `tell(collection, ids)` when something changed (None: anything may)."""
    while True:
        await clock.sleep(every)
        try:
            changed = await collection.refresh()
        except Exception as error:  # a search goes on with what it has
            _log.warning("a collection could not be refreshed", name=collection.name, error=type(error).__name__)
            continue
        if changed is None or changed:
            tell(collection.name, changed)
