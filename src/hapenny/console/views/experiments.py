"""Experiments: what is compared, how far it is, and what it says; analysed aside, since it reads every exposed row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from hapenny.console.desk import Desk, Empty, Viewer
from hapenny.console.html.evidence_charts import said
from hapenny.console.place import Place

STATE = Path(".hapenny/experiments.json")
FRESH_S = 120.0


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Every experiment with its newest analysis."""
    from hapenny.tuning.experiment_results import results
    from hapenny.tuning.experiments import Experiment

    path = desk.path
    file = STATE if STATE.exists() else Path(path).parent / "experiments.json"
    try:
        known = msgspec.json.decode(file.read_bytes(), type=list[Experiment]) if file.exists() else []
    except msgspec.DecodeError as error:
        raise Empty("The experiments' file cannot be read", f"{file}: {error}", "hapenny experiment status") from None
    rows = []
    for one in sorted(known, key=lambda each: (not each.running, each.name)):
        analysis, age = desk.aside(("experiment", path, one.name), lambda one=one: results(path, one).analysis, FRESH_S)  # type: ignore[misc]
        rows.append(
            {
                "one": one,
                "arms": one.shares(),
                "found": None if isinstance(analysis, Exception) else analysis,
                "error": str(analysis) if isinstance(analysis, Exception) else "",
                "age": age,
            }
        )
    return {"rows": rows, "file": str(file), "said": said, "making": any(row["age"] is None for row in rows)}
