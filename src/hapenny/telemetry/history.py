"""What the ledger knows of the past: requests by hour, and what background work of a kind has cost."""

from __future__ import annotations

import contextlib
import sqlite3

from msgspec import Struct

from hapenny.telemetry.opened import open_ledger


class History(Struct):
    """`hours`: clients' requests by hour since the epoch (UTC). `spent`: nano-dollars, where the price was known."""

    hours: dict[int, int] = {}
    spent: int = 0


def history(path: str, since: float, background: str, spent_since: float) -> History:
    """Reads a ledger's file beside its writer. Blocking. Nothing is known of one that is not there or not readable.

    Args:
        since: requests from then on are counted (epoch seconds).
        background: kind of work whose cost is added up, from `spent_since` on.
    """
    if path == ":memory:":
        return History()
    try:
        with contextlib.closing(open_ledger(path, read_only=True)) as books:
            hours = books.execute(
                "SELECT CAST(wall / 3600 AS INTEGER), count(*) FROM requests"
                " WHERE wall >= ? AND background = '' GROUP BY 1",
                (since,),
            ).fetchall()
            spent = books.execute(
                "SELECT coalesce(sum(actual), 0) FROM requests WHERE wall >= ? AND background = ?",
                (spent_since, background),
            ).fetchone()[0]
    except (sqlite3.Error, OSError):
        return History()
    return History(dict(hours), int(spent))
