"""The provider calls of a ledger as a trace: what a capacity has to carry."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hapenny.simulation.workload.trace import Arrival, from_zero
from hapenny.telemetry.opened import open_ledger


def from_ledger(path: Path) -> list[Arrival]:
    """The calls that a provider answered, by when their requests came. Requests that needed no model are none.

    Raises:
        ValueError: it is no ledger, or holds no calls.
    """
    try:
        connection = open_ledger(str(path), read_only=True)
        try:
            rows = connection.execute(
                "SELECT r.wall, c.input + c.cache_read + c.cache_write + c.cache_write_1h, c.output, c.cache_read "
                "FROM calls c JOIN requests r ON r.seq = c.request WHERE c.output > 0"
            ).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ValueError(f"{path}: {error}. Fix: the file that `ledger.path` names") from None
    if not rows:
        raise ValueError(f"{path}: no calls. Fix: a ledger with traffic in it")
    return from_zero(Arrival(float(wall), int(into), int(out), int(cached)) for wall, into, out, cached in rows)
