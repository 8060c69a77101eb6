"""The log of admin actions: who changed a key, a tenant or the switch, and when. It can only grow.

Entries are numbered, and each holds the hash of the one before it: one that was changed or taken out later is noticed
by whoever reads the log (`broken`). There is no way to remove one.
"""

from __future__ import annotations

from contextlib import aclosing
from hashlib import sha256

import msgspec
from msgspec import Struct

from hapenny.stores.kv import KeyValue, scanned

_HEAD = "loghead"
_ENTRY = "log/"
MOST = 1_000
"""Entries that are read at once."""
TRIES = 50


class Entry(Struct, frozen=True, kw_only=True):
    """One action. `detail` holds no secret."""

    number: int
    wall: float
    actor: str
    """A key's id, or `cli:USER`."""
    action: str
    subject: str
    detail: str = ""
    before: str = ""
    """Hash of the entry before it, hex."""


class _Head(Struct):
    number: int = 0
    hash: str = ""


class AdminLog:
    """The log in a key-value store."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store

    async def add(self, wall: float, actor: str, action: str, subject: str, detail: str = "") -> Entry:
        """Adds an entry behind all others, also behind those of other processes.

        Raises:
            OSError: the store cannot be written.
        """
        for _ in range(TRIES):
            raw = await self._store.get(_HEAD)
            head = msgspec.json.decode(raw, type=_Head) if raw is not None else _Head()
            entry = Entry(
                number=head.number + 1, wall=wall, actor=actor[:200], action=action, subject=subject[:200],
                detail=detail[:500], before=head.hash,
            )  # fmt: skip
            data = msgspec.json.encode(entry)
            if not await self._store.compare_and_set(_name(entry.number), None, data):
                # Another process wrote it, and may have ended before it moved the head.
                there = await self._store.get(_name(entry.number))
                if there is not None:
                    await self._move(raw, entry.number, there)
                continue
            await self._move(raw, entry.number, data)
            return entry
        raise OSError("the log of admin actions is written by too many at once")

    async def newest(self, count: int = 100) -> list[Entry]:
        """The last entries, newest first."""
        raw = await self._store.get(_HEAD)
        last = msgspec.json.decode(raw, type=_Head).number if raw is not None else 0
        start = max(0, last - min(count, MOST))
        pairs = await self._store.scan(_ENTRY, after=_name(start), limit=MOST)
        return [msgspec.json.decode(data, type=Entry) for _, data in reversed(pairs)][:count]

    async def broken(self) -> int | None:
        """The number of the first entry that is not as it was written, or missing; None: all are whole."""
        before, expected = "", 1
        async with aclosing(scanned(self._store, _ENTRY, MOST)) as entries:
            async for _, data in entries:
                entry = msgspec.json.decode(data, type=Entry)
                if entry.number != expected or entry.before != before:
                    return expected
                before, expected = _hash(data), expected + 1
        raw = await self._store.get(_HEAD)
        head = msgspec.json.decode(raw, type=_Head) if raw is not None else _Head()
        whole = head.number < expected and (head.number != expected - 1 or head.hash == before)
        return None if whole else min(head.number, expected)

    async def _move(self, raw: bytes | None, number: int, data: bytes) -> None:
        await self._store.compare_and_set(_HEAD, raw, msgspec.json.encode(_Head(number, _hash(data))))


def _name(number: int) -> str:
    return f"{_ENTRY}{number:012d}"


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()
