"""What an experiment says so far, from the rows of a ledger that were exposed to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hapenny.evidence import units
from hapenny.evidence.analysis import Analysis, Unit, analyse
from hapenny.tuning.experiments import Experiment


class Results(NamedTuple):
    """The analysis, and the units that it stands on."""

    analysis: Analysis
    units: list[Unit]


def results(path: str, one: Experiment, label: Callable[[str], float | None] = lambda id: None) -> Results:
    """Analyses an experiment as it was defined.

    Args:
        path: the ledger.
        one: the experiment.
        label: a person's score of a request, by its id.

    Raises:
        FileNotFoundError: there is no ledger.
        ValueError: it was written by a newer hapenny.
    """
    seen, changed = units.gather(units.exposed(path, one.name), one.name, one.unit, label)
    analysis = analyse(
        seen,
        one.shares(),
        metric=one.metric,
        better=one.better,
        guardrails=[(rail.metric, rail.margin, rail.better) for rail in one.guardrails],
        secondary=one.secondary,
        alpha=one.alpha,
        horizon=one.horizon,
        looks=one.looks,
        changed_arm=changed,
    )
    return Results(analysis, seen)
