"""SQL of a range with its filters, over `requests`; of a range without filters, over `entries` too."""

from __future__ import annotations

from typing import Any

from hapenny.telemetry.figures import Scope
from hapenny.telemetry.rollups import MODEL


def condition(scope: Scope, prefix: str = "") -> tuple[str, list[Any]]:
    """The condition and its values; `prefix` (as `r.`) stands before each column."""
    clauses, values = ["1"], []
    for column, test, value in (
        (f"{prefix}wall", ">=", scope.since),
        (f"{prefix}wall", "<", scope.until),
        (f"{prefix}tenant", "=", scope.tenant),
        (f"{prefix}route", "=", scope.route),
        (f"{prefix}feature", "=", scope.feature),
        (MODEL.replace("r.", prefix), "=", scope.model),
        (f"{prefix}key_id", "=", scope.key),
    ):
        if value is not None:
            clauses.append(f"{column} {test} ?")
            values.append(value)
    return " AND ".join(clauses), values
