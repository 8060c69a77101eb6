"""Key-value in one readable JSON file: for a handful of keys that an operator wants to look at.

Every call reads the file if it has changed, under a lock of its own file, so that several processes may share it. A
change writes the whole file anew: tens of thousands of values belong into SQLite.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from hapenny.core.clock import Clock
from hapenny.stores import private
from hapenny.stores.kv import MAX_SCAN

T = TypeVar("T")


class _Value(msgspec.Struct, omit_defaults=True):
    text: str | None = None
    base64: str | None = None
    dies: float | None = None

    def data(self) -> bytes:
        if self.text is not None:
            return self.text.encode()
        return base64.b64decode(self.base64 or "")


class FileKeyValue:
    """See the module.

    Args:
        path: of the JSON file; it is made at the first change.
        clock: decides about lifetimes.

    Raises (all methods):
        OSError: the file cannot be read or written.
        ValueError: it holds something else.
    """

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = Path(path)
        self._clock = clock

    async def get(self, key: str) -> bytes | None:
        """The live value."""
        values = await self._run(lambda values: dict(values))
        return values[key].data() if key in values else None

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Puts a value."""

        def work(values: dict[str, _Value]) -> None:
            values[key] = self._value(value, ttl)

        await self._run(work, changes=True)

    async def compare_and_set(self, key: str, expected: bytes | None, value: bytes, ttl: float | None = None) -> bool:
        """Puts a value if the present one is as expected."""

        def work(values: dict[str, _Value]) -> bool:
            present = values.get(key)
            if (present.data() if present is not None else None) != expected:
                return False
            values[key] = self._value(value, ttl)
            return True

        return await self._run(work, changes=True)

    async def delete(self, key: str) -> bool:
        """Removes a value."""
        return await self._run(lambda values: values.pop(key, None) is not None, changes=True)

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = MAX_SCAN) -> list[tuple[str, bytes]]:
        """Pairs by prefix, sorted."""
        values = await self._run(lambda values: dict(values))
        keys = sorted(
            (key for key in values if key.startswith(prefix) and _order(key) > _order(after)), key=_order
        )  # fmt: skip
        return [(key, values[key].data()) for key in keys[:limit]]

    async def aclose(self) -> None:
        """Nothing is kept open."""

    def _value(self, value: bytes, ttl: float | None) -> _Value:
        dies = None if ttl is None else self._clock.wall() + ttl
        try:
            return _Value(text=value.decode(), dies=dies)
        except UnicodeDecodeError:
            return _Value(base64=base64.b64encode(value).decode(), dies=dies)

    async def _run(self, work: Callable[[dict[str, _Value]], T], *, changes: bool = False) -> T:
        """Runs `work` on the values of the moment, off the loop, alone among processes where it changes something."""

        def locked() -> T:
            with self._locked() if changes else contextlib.nullcontext():
                values = self._read()
                before = dict(values)
                result = work(values)
                if changes and values != before:
                    data = msgspec.json.encode(dict(sorted(values.items(), key=lambda pair: _order(pair[0]))))
                    private.write(self._path, msgspec.json.format(data, indent=1) + b"\n")
                return result

        return await self._clock.work("file", 1.0, locked)

    def _read(self) -> dict[str, _Value]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        if not data.strip():
            return {}
        now = self._clock.wall()
        values = msgspec.json.decode(data, type=dict[str, _Value])
        return {key: value for key, value in values.items() if value.dies is None or now < value.dies}

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        place = self._path.with_name(self._path.name + ".lock")
        private.folder(place.parent)
        descriptor = os.open(place, os.O_CREAT | os.O_RDWR, private.FILE)
        try:
            with contextlib.suppress(ImportError):  # no advisory locks on this platform: one process alone may write
                import fcntl

                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _order(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
