"""What each technique saved, how sure that is, at what quality, and whether the provider's invoice agrees."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from hapenny.console.desk import Desk, Viewer
from hapenny.console.html.charts import shown, waterfall
from hapenny.console.html.quality import holdout_lines
from hapenny.console.html.words import words
from hapenny.console.place import Place
from hapenny.telemetry import sampled
from hapenny.telemetry.conditions import condition
from hapenny.telemetry.figures import Holdout, Scope, Spent
from hapenny.telemetry.holdout import against_totals, ratio
from hapenny.telemetry.rolled import Rolled
from hapenny.telemetry.rolled_figures import Saving, Totals

_Z = 1.959964
LOSSLESS = frozenset({
    "exact", "flights", "lossless", "structure", "prefix", "regions", "service_tier", "provisioned", "owned",
    "reserved", "batch", "hedging", "retry", "serve", "evidence", "edge", "results",
})  # fmt: skip
"""Techniques that cannot change an answer: their quality needs no evidence."""


class Shown(Struct, kw_only=True):
    """A technique as the page shows it."""

    name: str
    words: str
    requests: int
    saved: int
    own: int
    share: float
    low: float
    high: float
    quality: str
    state: str
    """`sure`, `watched`, `unknown` or `closed`: of the quality."""
    course: list[int]


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """Techniques with intervals and quality, the holdout, the invoice."""
    rolled = desk.rolled()
    with rolled.look():
        totals = rolled.totals(place.scope)
        savings = rolled.savings(place.scope)
        spans = rolled.baselines(place.scope)
        spent = sampled.evidence(rolled.connection, place.scope)
        holdout = held_out(rolled, place.scope)
        invoices = [] if viewer.tenant else sampled.entries(rolled.connection, "invoice", Scope(), 6)
        capacity = [] if viewer.tenant else sampled.entries(rolled.connection, "capacity", place.scope, 2_000)
    extra = {each["technique"]: 0 for each in capacity}
    for each in capacity:
        extra[each["technique"]] += each["saved"]
    rows = [described(saving, spans, spent) for saving in savings]
    known = {row.name for row in rows}
    for row in rows:
        row.saved += extra.get(row.name, 0)
    rows += [
        Shown(name=name, words=words(name), requests=0, saved=nano, own=-nano, share=nano / max(1, totals.baseline),
              low=nano / max(1, totals.baseline), high=nano / max(1, totals.baseline), quality="the same model",
              state="sure", course=[])
        for name, nano in extra.items() if name not in known
    ]  # fmt: skip
    paid = totals.actual + sum(each["actual"] for each in capacity)
    saved = sum(row.saved for row in rows)
    steps = [(shown(row.name), row.saved) for row in rows if row.saved]
    filtered = [name for name in ("model", "key") if name in place.filters]
    return {
        "totals": totals,
        "rows": sorted(rows, key=lambda row: -row.saved),
        "saved": saved,
        "paid": paid,
        "waterfall": waterfall(totals.baseline, steps, totals.baseline - saved - paid, paid) if not filtered else "",
        "filtered": filtered,
        "holdout": holdout_lines(holdout, "hours or days"),
        "invoices": invoices,
        "hours": len(spans),
    }


def described(saving: Saving, spans: dict[int, Totals], spent: list[Spent]) -> Shown:
    """A technique's share of the bill with its interval over hours or days, and what is known of its quality."""
    at = sorted(spans)
    above = np.array([saving.course.get(each, 0) for each in at], float)
    below = np.array([spans[each].baseline for each in at], float)
    share, spread = ratio(above, below) if below.sum() > 0 else (0.0, 0.0)
    quality, state = judged(saving.name, spent)
    step = max(1, -(-len(at) // 30))
    course = [int(above[place : place + step].sum()) for place in range(0, len(at), step)]
    if len(course) > 3:
        course.pop()  # the last part has mostly only begun: it would look like a fall
    return Shown(
        name=saving.name, words=words(saving.name), requests=saving.requests, saved=saving.saved, own=saving.own,
        share=share, low=share - _Z * spread, high=share + _Z * spread, quality=quality, state=state, course=course,
    )  # fmt: skip


def judged(technique: str, spent: list[Spent]) -> tuple[str, str]:
    """What is known of the quality of a technique's answers, for people, and in a word."""
    known = [each for each in spent if each.technique == technique]
    if not known:
        if technique in LOSSLESS:
            return "cannot change an answer", "sure"
        return "not measured yet", "unknown"
    worst = max(known, key=lambda each: each.bound)
    if worst.state != "open":
        return f"{worst.state}{': ' + worst.why if worst.why else ''}", "closed"
    return (
        f"loses at most {100 * worst.bound:.2f} of 100 answers (may: {100 * worst.limit:.2f};"
        f" seen {100 * worst.loss:+.2f} on {worst.pairs:,} pairs)",
        "watched",
    )


def held_out(rolled: Rolled, scope: Scope) -> Holdout | None:
    """Requests with everything off against the rest."""
    scored = sampled.scores(rolled.connection, scope, "background")
    where, values = condition(scope)
    hours = [(each.requests, each.baseline, each.actual, each.hits) for each in rolled.baselines(scope).values()]
    judged = (sum(each.count for each in scored), sum(each.count * each.mean for each in scored))
    span = rolled.plain(scope)
    key = ("holdout", span.since, span.until, scope.tenant, scope.route, scope.feature, scope.model, scope.key)
    holdout: Holdout | None = rolled.kept(
        key, span.until - span.since > 2 * 86_400,
        lambda: against_totals(rolled.connection, where, values, hours, judged),
    )  # fmt: skip
    return holdout
