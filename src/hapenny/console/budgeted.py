"""The steps of the latency budget against what a sample of requests took, and what was done to keep deadlines."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from hapenny.responsive.budget import STEPS, limits
from hapenny.telemetry.conditions import condition
from hapenny.telemetry.figures import Scope
from hapenny.telemetry.sampled import NEWEST, SEARCHED, percentiles
from hapenny.telemetry.schema import columns_of


class Step(Struct, kw_only=True):
    """A step: its limit (seconds, at the 95th percentile), what it took, and of how many requests."""

    name: str
    about: str
    limit: float
    p50: float | None = None
    p95: float | None = None
    count: int = 0
    over: bool = False


class Budgeted(Struct, kw_only=True):
    """Steps in the order of the budget; reactions by how many requests of the sample had them."""

    steps: list[Step]
    reactions: list[tuple[str, int]]
    requests: int
    """Requests of the sample that had a deadline."""
    missed: int
    """Of these, those that took longer than their deadline."""


def budgeted(connection: sqlite3.Connection, scope: Scope, changed: Mapping[str, float] | None = None) -> Budgeted:
    """The steps of the newest requests of a range that had a deadline."""
    allowed = limits(changed)
    steps = {step.name: Step(name=step.name, about=step.about, limit=allowed[step.name]) for step in STEPS}
    if "steps" not in columns_of(connection, "requests"):
        return Budgeted(steps=list(steps.values()), reactions=[], requests=0, missed=0)
    times, values = condition(scope.times)
    filters, more = condition(scope.filters)
    rows = connection.execute(
        "SELECT steps, reactions, e2e, deadline FROM (SELECT steps, reactions, e2e, deadline, background, tenant,"
        f" route, feature, key_id, cache_hit, model_served FROM requests WHERE {times} ORDER BY wall DESC"
        f" LIMIT {SEARCHED}) WHERE deadline IS NOT NULL AND background = '' AND {filters} LIMIT {NEWEST}",
        (*values, *more),
    ).fetchall()
    taken: dict[str, list[float]] = {}
    counted: dict[str, int] = {}
    missed = 0
    for text, reactions, e2e, deadline in rows:
        for name, seconds in (msgspec.json.decode(text) if text else {}).items():
            taken.setdefault(name, []).append(seconds)
        for reaction in msgspec.json.decode(reactions) if reactions else ():
            counted[reaction] = counted.get(reaction, 0) + 1
        missed += e2e is not None and e2e > deadline
    for name, each in taken.items():
        told = percentiles(each)
        if name in steps and told is not None:
            step = steps[name]
            step.p50, step.p95, step.count, step.over = told.p50, told.p95, told.count, told.p95 > step.limit
    return Budgeted(
        steps=list(steps.values()), reactions=sorted(counted.items(), key=lambda item: -item[1]), requests=len(rows),
        missed=missed,
    )  # fmt: skip
