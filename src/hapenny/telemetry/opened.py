"""The books for whoever reads them: a ledger file, or the copy of those in a database."""

from __future__ import annotations

import sqlite3

from hapenny.telemetry import schema


def open_ledger(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """As `schema.open_ledger`; for books in a database a copy of this machine, brought up to date.

    Raises:
        ValueError: the ledger was written by a newer hapenny, or is in a database and was to be written.
        FileNotFoundError: read_only, and there is none.
    """
    if "://" in path:
        if not read_only:
            raise ValueError("the ledger is in a database: this verb writes into ledger files alone")
        from hapenny.telemetry.ledger_copy import copied

        path = copied(path)
    return schema.open_ledger(path, read_only=read_only)
