"""Blobs: immutable bytes under their own hash."""

from __future__ import annotations

from hashlib import sha256
from typing import Protocol


class Blobs(Protocol):
    """The contract (`tests/stores/test_blobs.py` holds every implementation to it)."""

    async def put(self, data: bytes) -> str:
        """Keeps `data`; its SHA-256 in hex is its name. The same data twice is kept once."""

    async def get(self, name: str) -> bytes | None:
        """The data of a name, or None."""

    async def delete(self, name: str) -> bool:
        """Removes a blob; whether there was one."""

    async def aclose(self) -> None:
        """Lets go of connections. Idempotent."""


def name_of(data: bytes) -> str:
    """The name `data` is kept under."""
    return sha256(data).hexdigest()
