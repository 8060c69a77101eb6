"""Requests: searched by labels, outcome, cost and time; and the story of one."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from hapenny.console.desk import Desk, Empty, Viewer
from hapenny.console.html.charts import seconds
from hapenny.console.html.lines import Step, timeline
from hapenny.console.place import Place
from hapenny.telemetry import schema, searched
from hapenny.telemetry.rows import Row

_MOST = 1e10
_PEAKS = 100
"""How many of the slowest or dearest requests of a range are looked at."""
OUTCOMES = ("delivered", "failed", "refused", "left")


def show(desk: Desk, place: Place, viewer: Viewer) -> dict[str, Any]:
    """A page of requests, newest first, or the slowest or dearest of the range."""
    more = place.more
    problem = ""
    numbers: dict[str, float | None] = {"slower": None, "dearer": None, "before": None}
    for name in numbers:
        if text := more.get(name, "").strip().lstrip("$"):
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if abs(value) < _MOST:
                numbers[name] = value
            else:
                problem = f"{name}: {text[:30]!r} is no number that makes sense here"
    order = more.get("order", "newest")
    dearer = numbers["dearer"]
    wanted = searched.Wanted(
        id=more.get("id", "").strip(), outcome=more.get("outcome", ""), cache=more.get("cache", ""),
        slower=numbers["slower"], dearer=None if dearer is None else round(dearer * 1e9),
        background=more.get("background") == "yes",
    )  # fmt: skip
    scope = place.scope
    if numbers["before"] is not None:
        scope = msgspec.structs.replace(scope, until=numbers["before"])
    rolled = desk.rolled()
    with rolled.look():
        if order in ("slow", "costly") and not wanted.id:
            peaks = rolled.peaks(scope, order, _PEAKS)
            lines = searched.by_number(rolled.connection, peaks, scope, wanted)[: searched.PAGE]
            results = searched.Results(lines=lines, searched_to=None)
        else:
            order = "newest"
            results = searched.search(rolled.connection, scope, wanted)
    return {
        "results": results,
        "order": order,
        "peaks": _PEAKS,
        "narrowed": order != "newest" and (bool(place.filters) or wanted != searched.Wanted()),
        "wanted": wanted,
        "outcomes": OUTCOMES,
        "problem": problem,
        "older": None if results.searched_to is None else f"{results.searched_to:.6f}",
    }


def story(desk: Desk, id: str, viewer: Viewer) -> dict[str, Any]:
    """One request: what it was, who decided what, which calls were made, where time and money went."""
    rolled = desk.rolled()
    with rolled.look():
        row = schema.find_row(rolled.connection, id)
        verdicts = schema.read_verdicts(rolled.connection, id) if row is not None else {}
    if row is None or (viewer.tenant is not None and row.tenant != viewer.tenant):
        raise Empty(
            "There is no such request",
            f"The ledger has no {id[:80]!r}. A request is there half a second after its answer; its id stands in the"
            " answer's header x-request-id.",
        )
    whole = max([row.e2e or 0.0, *(call.ended or call.started for call in row.calls)])
    return {
        "row": row,
        "verdicts": verdicts,
        "timeline": timeline(steps(row), whole, seconds, "What happened when"),
        "sum": None if row.unpriced else sum(row.savings.values()),
        "decide": sorted(row.decide.items(), key=lambda item: -item[1]),
        "extra": {"deadline": row.deadline, "steps": row.steps, "reactions": row.reactions},
    }


def steps(row: Row) -> list[Step]:
    """When each thing happened, seconds from arrival: decisions in the order they were made, calls, the stream."""
    drawn: list[Step] = []
    at = 0.0
    first = min((call.started for call in row.calls), default=None)
    for name, spent in row.decide.items():
        if spent >= 1e-4:
            drawn.append(Step(name, at, spent, "s3", "decided"))
            at += spent
    if first is not None and first - at > 1e-3:
        drawn.append(Step("queue and sending", at, first - at, "error", "waited for quota or a connection"))
    for call in row.calls:
        if call.opened is not None:
            at_call = call.started
            for part, spent in zip(("looking up the name", "connecting", "TLS"), call.opened, strict=True):
                if spent >= 1e-4:
                    drawn.append(Step(part, at_call, spent, "error", "a new connection"))
                    at_call += spent
        name = call.model if call.purpose == "serve" else f"{call.purpose} {call.model}"
        if call.began is not None:
            drawn.append(Step(f"{name}: first content", call.started, call.began - call.started, "hist", call.region))
            if call.ended is not None and call.ended > call.began:
                drawn.append(Step(f"{name}: streaming", call.began, call.ended - call.began, "saved"))
        elif call.ended is not None:
            kind = "cost" if call.failure else "hist"
            drawn.append(Step(name, call.started, call.ended - call.started, kind, call.failure or call.outcome))
    ended = max((call.ended or 0.0 for call in row.calls if call.adopted), default=0.0)
    if row.e2e is not None and ended and row.e2e - ended > 1e-3:
        drawn.append(Step("to the client", ended, row.e2e - ended, "error"))
    return drawn
