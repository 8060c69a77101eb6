"""Whether the books of a day under faults are right: row by row, against the provider's bill, and on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from hapenny.studies.fault_plan import DAY_S, DayPlan
from hapenny.telemetry.rows import Row
from hapenny.telemetry.schema import open_ledger

LOSS_S = 1.0
"""What a process that is killed may lose: rows of its last half second, and of the batch that was being written."""


class Kept(NamedTuple):
    """A row, and when the gateway closed it, seconds of the day's clock."""

    at: float
    row: Row


def audit(kept: Sequence[Kept], ledger: Path, plan: DayPlan, kills: Sequence[float], bill: int) -> Iterator[str]:
    """What is wrong, in words.

    Args:
        kept: rows that were closed.
        ledger: the file.
        plan: the day's.
        kills: when a process was killed.
        bill: the provider's, nano-dollars.
    """
    rows = [each.row for each in kept]
    for row in rows:
        if row.unpriced or row.actual is None or row.baseline is None:
            continue
        if row.baseline - sum(row.savings.values()) - (row.estimate_error or 0) != row.actual:
            yield f"row {row.id}: baseline, savings and price do not add up"
    known = not kills and all(row.reported and not row.unpriced for row in rows)
    if known and sum(row.actual or 0 for row in rows) != bill:
        yield "the books and the provider's bill differ"
    yield from _on_disk(kept, ledger, plan, kills)


def _on_disk(kept: Sequence[Kept], ledger: Path, plan: DayPlan, kills: Sequence[float]) -> Iterator[str]:
    connection = open_ledger(str(ledger), read_only=True)
    try:
        written = connection.execute("SELECT id, actual FROM requests").fetchall()
    finally:
        connection.close()
    known = dict(written)
    if len(known) != len(written):
        yield f"{len(written) - len(known)} rows are in the ledger twice"
    excused = _excused(plan, kills)
    missing = [each for each in kept if each.row.id not in known and not any(a <= each.at <= b for a, b in excused)]
    if missing:
        yield f"{len(missing)} rows are not in the ledger, the first of second {missing[0].at:.1f}"
    wrong = sum(known[each.row.id] != each.row.actual for each in kept if each.row.id in known)
    if wrong:
        yield f"{wrong} rows of the ledger hold another price"


def _excused(plan: DayPlan, kills: Sequence[float]) -> list[tuple[float, float]]:
    """Spans whose rows may be lost: before a kill, what had not been written; before the file was deleted, all."""
    spans = []
    for kill in kills:
        since = kill - LOSS_S
        for full in plan.of("ledger_full"):
            if full.at <= kill and since <= full.until + 2 * LOSS_S:
                since = full.at - LOSS_S
        spans.append((since, kill))
    # The file goes when the next request comes.
    spans += [
        (0.0, next((ask.at for ask in plan.asks if ask.at >= gone.at), DAY_S) + LOSS_S)
        for gone in plan.of("ledger_gone")
    ]
    return spans
