"""Units of an experiment from the ledger: one value per user or session and metric, because requests of one unit are
not independent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from hapenny.evidence.analysis import Unit
from hapenny.telemetry.opened import open_ledger
from hapenny.telemetry.rows import Row
from hapenny.telemetry.schema import read_row

METRICS = ("quality", "cost", "ttft", "e2e", "length", "escalated", "failed")
"""What the ledger knows of a request: score by judge or feedback, dollars, seconds, tokens of the answer, whether it
was escalated, whether it failed."""


def values(row: Row, label: float | None = None) -> dict[str, float]:
    """The metrics of one request; what is unknown is left out. `label` goes before the judge's score."""
    by_metric: dict[str, float] = {
        "failed": float(row.outcome == "failed"),
        "escalated": float(any(call.purpose == "escalate" for call in row.calls)),
    }
    quality = label if label is not None else row.scores.get("quality")
    if quality is not None:
        by_metric["quality"] = quality
    if row.outcome == "delivered":
        by_metric["length"] = float(row.output_tokens)
    if row.actual is not None and not row.unpriced:
        by_metric["cost"] = row.actual / 1e9
    if row.ttft is not None:
        by_metric["ttft"] = row.ttft
    if row.e2e is not None:
        by_metric["e2e"] = row.e2e
    return by_metric


class Gathered(NamedTuple):
    """The units of an experiment."""

    units: list[Unit]
    changed_arm: int
    """Units that were seen in more than one arm, and left out."""


def gather(
    rows: Iterable[Row], experiment: str, unit: str = "session", label: Callable[[str], float | None] = lambda id: None
) -> Gathered:
    """Means by unit of all requests exposed to the experiment. `label`: a person's score of a request, by its id.

    A unit that appears in two arms (it changed its name midway, or the arms' shares were changed) is left out.
    """
    sums: dict[bytes, dict[str, tuple[float, int]]] = {}
    arms: dict[bytes, set[str]] = {}
    for row in rows:
        arm = row.arms.get(experiment)
        who = row.user if unit == "user" else row.session or row.user
        if arm is None or row.background:
            continue
        key = who if who is not None else row.id.encode()
        arms.setdefault(key, set()).add(arm)
        into = sums.setdefault(key, {})
        for name, value in values(row, label(row.id)).items():
            total, count = into.get(name, (0.0, 0))
            into[name] = (total + value, count + 1)
    units = [
        Unit(arm=next(iter(arms[key])), metrics={name: total / count for name, (total, count) in sums[key].items()})
        for key in sums
        if len(arms[key]) == 1
    ]
    return Gathered(units, len(sums) - len(units))


def exposed(path: str, experiment: str, since: float = 0.0) -> list[Row]:
    """Rows of a ledger file that were in the experiment.

    Raises:
        FileNotFoundError: there is no ledger.
    """
    connection = open_ledger(path, read_only=True)
    try:
        read = connection.execute(
            "SELECT * FROM requests WHERE wall >= ? AND arms LIKE ?", (since, f'%"{experiment}"%')
        ).fetchall()
        rows = [read_row(connection, one) for one in read]
    finally:
        connection.close()
    return [row for row in rows if experiment in row.arms]
