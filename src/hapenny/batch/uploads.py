"""Uploads of tenants: how much each may keep, and for how long.

What is kept is known from the journal once, and from then on by what is added and removed. An upload ends with its
time; batches made of it have their own copy of its records.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import msgspec

from hapenny.batch.engine import BatchEngine
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger

_log = get_logger("hapenny.batches")


class UploadQuota(NamedTuple):
    """What the uploads of one tenant may be together. `seconds`: how long each is kept; 0: for ever."""

    bytes: int = 1_000_000_000
    files: int = 1_000
    seconds: float = 30 * 86_400.0


class _Upload(NamedTuple):
    owner: str
    bytes: int
    ends: float


class Uploads:
    """The uploads in a journal.

    Args:
        engine: with the journal and the clock.
        quota: of each tenant.
    """

    def __init__(self, engine: BatchEngine, quota: UploadQuota) -> None:
        self._engine = engine
        self._quota = quota
        self._known: dict[str, _Upload] = {}
        self.turn = threading.Lock()
        """Held by whoever asks for room until the upload is there: threads take uploads in."""
        for name in engine.journal.names("files", ".json"):
            id = name.removesuffix(".json")
            lines = engine.journal.lines(f"files/{name}")
            about = msgspec.json.decode(lines[0].json) if lines and lines[0].json is not None else None
            if isinstance(about, dict):
                self.add(id, about)

    def add(self, id: str, about: dict[str, Any]) -> None:
        """An upload is there."""
        ends = float(about.get("created_at", 0)) + self._quota.seconds if self._quota.seconds > 0 else float("inf")
        self._known[id] = _Upload(str(about.get("owner", "")), int(about.get("bytes", 0)), ends)

    def over(self, id: str) -> bool:
        """Whether the time of an upload has ended."""
        known = self._known.get(id)
        return known is not None and self._engine.clock.wall() >= known.ends

    def make_room(self, owner: str, size: int) -> None:
        """Lets an upload of `size` bytes in.

        Raises:
            Failure: `too_large`, if the tenant has as much as it may.
        """
        self.sweep()
        mine = [each for each in list(self._known.values()) if each.owner == owner]
        if len(mine) >= self._quota.files or sum(each.bytes for each in mine) + size > self._quota.bytes:
            raise Failure(
                "too_large",
                f"a tenant may keep {self._quota.files} uploads and {self._quota.bytes / 1e6:g} MB",
                field="file",
                fix="delete uploads that are not needed any more (DELETE /v1/files/ID)",
            )

    def remove(self, id: str) -> None:
        """Removes an upload."""
        self._engine.journal.remove(f"files/{id}.json")
        self._engine.journal.remove(f"files/{id}")
        self._known.pop(id, None)

    def sweep(self) -> None:
        """Removes uploads whose time has ended."""
        ended = [id for id in list(self._known) if self.over(id)]
        for id in ended:
            try:
                self.remove(id)
            except OSError as error:
                _log.error("an upload could not be removed", error=type(error).__name__)
