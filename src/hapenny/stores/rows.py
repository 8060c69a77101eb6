"""Rows: JSON objects with an id and a time, found by equality of fields and by time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

Scalar: TypeAlias = str | int | float | bool | None

MAX_FOUND = 1_000


class Record(Struct, frozen=True):
    """A row: its id, its time (epoch seconds), its fields."""

    id: str
    at: float
    body: dict[str, Any]


class Rows(Protocol):
    """The contract (`tests/stores/test_rows.py` holds every implementation to it).

    A table exists from its first row on. `where` compares top-level fields for equality; a missing field equals None.
    """

    async def put(self, table: str, id: str, body: Mapping[str, Any], *, at: float) -> None:
        """Puts a row; one with the same id is replaced."""

    async def get(self, table: str, id: str) -> Record | None:
        """A row by id."""

    async def find(
        self,
        table: str,
        *,
        where: Mapping[str, Scalar] | None = None,
        since: float | None = None,
        until: float | None = None,
        newest: bool = False,
        limit: int = MAX_FOUND,
    ) -> list[Record]:
        """Up to `limit` rows with `since <= at < until`, by (at, id), newest first if asked."""

    async def delete(
        self,
        table: str,
        *,
        id: str | None = None,
        where: Mapping[str, Scalar] | None = None,
        until: float | None = None,
    ) -> int:
        """Removes the rows that match everything given; how many. Nothing given removes all."""

    async def aclose(self) -> None:
        """Lets go of connections. Idempotent."""


def checked(where: Mapping[str, Scalar] | None) -> Mapping[str, Scalar]:
    """`where`, its field names fit for every store. Raises `ValueError` for names with quotes or backslashes."""
    for name in where or ():
        if not name or '"' in name or "\\" in name or "\0" in name:
            raise ValueError(f"where: {name!r} is no field name; use one without quotes and backslashes")
    return where or {}


def matches(body: Mapping[str, Any], where: Mapping[str, Scalar] | None) -> bool:
    """Whether a row's fields are as `where` says (True is not 1)."""
    for name, value in (where or {}).items():
        held = body.get(name)
        if held != value or isinstance(held, bool) is not isinstance(value, bool):
            return False
    return True
