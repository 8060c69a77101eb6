"""How much of their capacity the places of a ledger use: quotas, calls in flight, waits, and what prompts look like.

A place is a model in a region and a service tier. Calls are booked to the minute in which they ended, as a provider's
settled count is: prompt tokens that no cache read, and answers by the model's burndown. Little's law (J. D. C. Little,
1961) holds of any stretch of time: calls in flight in the mean = calls a second x seconds a call. What the books say so
is compared with what a running gateway counts as in flight: more there than here are places that were never given back,
or calls that the books do not know.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from hapenny.capacity.littles_law import agrees
from hapenny.capacity.need import Spread
from hapenny.capacity.outlook import Outlook, outlook
from hapenny.telemetry.opened import open_ledger

MINUTE = 60.0
HOUR = 3_600.0
DAY = 86_400.0
MOST_ROWS = 2_000_000
"""Newest calls that are read: what memory holds."""


class Limits(Struct, frozen=True, kw_only=True):
    """The quota of a place, a minute; None: not known."""

    tokens: float | None = None
    requests: float | None = None
    burndown: float | None = None
    """What an answer's token counts; None: as the model's card says."""


class Little(Struct, frozen=True, kw_only=True):
    """Little's law over a stretch."""

    calls_per_s: float
    seconds_a_call: float
    expected: float
    """Calls in flight, by the books."""
    seen: float | None
    """In the running gateway, in the mean over the same stretch; None: nobody was asked."""
    agrees: bool | None


class PlaceUse(Struct, frozen=True, kw_only=True):
    """One place. Tokens as the provider counts them."""

    model: str
    region: str
    service_tier: str
    calls: int
    failed: int
    throttled: int
    tokens_a_minute: Spread
    requests_a_minute: Spread
    limits: Limits
    used_p95: float | None
    """Of the tokens a minute, in the busiest minute of twenty, as a share."""
    used_most: float | None
    requests_used_p95: float | None
    in_flight_tokens: float
    """Prompt and answer tokens of calls under way, in the mean of the stretch."""
    waited_p95_s: float
    """Between a request's arrival and its first call: the queue, and what is decided before it."""
    little: Little
    outlook: Outlook | None
    """Of the tokens a minute; None: the quota is not known."""


class Pattern(Struct, frozen=True, kw_only=True):
    """What requests of an intent look like, or of an hour of the day (UTC)."""

    name: str
    requests: int
    prompt_p50: float
    prompt_p95: float
    output_p50: float
    output_p95: float
    share_of_tokens: float


class Utilisation(Struct, frozen=True, kw_only=True):
    """All of it."""

    since: float
    until: float
    """Epoch seconds of the first and the last call."""
    places: list[PlaceUse]
    by_intent: list[Pattern]
    by_hour: list[Pattern]
    turned_away: int
    """Requests that were refused for lack of capacity."""
    complete: bool
    """Whether all calls of the stretch were read."""


def utilisation(
    path: Path | str,
    limits: Callable[[str, str, str], Limits],
    *,
    hours: float | None = None,
    since: float | None = None,
    until: float | None = None,
    most: int = MOST_ROWS,
    burndown: Callable[[str], float] = lambda model: 1.0,
    seen: Mapping[str, float] | None = None,
    recent_s: float | None = None,
) -> Utilisation:
    """The utilisation that a ledger holds.

    Args:
        limits: the quota of a model, region and service tier.
        hours: only the last so many.
        since: only requests from this moment on (epoch seconds).
        until: only requests before this moment.
        most: calls that are read, the newest.
        burndown: what an answer's token of a model counts.
        seen: calls in flight by model in the mean of the last `recent_s` seconds of now, as a running gateway counts
            them; the books' side is then of the same stretch, which ends with the last call booked.

    Raises:
        ValueError: it is no ledger, or holds no calls.
    """
    try:
        connection = open_ledger(str(path), read_only=True)
        try:
            calls, complete, turned_away = _calls(connection, hours, (since, until), most)
            shapes = _shapes(connection, calls[0][0], until, most)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ValueError(f"{path}: {error}. Fix: the file that `ledger.path` names") from None
    first, last = min(each[0] for each in calls), max(each[1] for each in calls)
    groups: dict[tuple[str, str, str], list[_Call]] = defaultdict(list)
    for each in calls:
        groups[each[2:5]].append(each)
    by_model = Counter(model for model, _, _ in groups)
    places = []
    for (model, region, tier), rows in groups.items():
        counted = seen.get(model) if seen is not None and by_model[model] == 1 else None
        stretch = (last - recent_s, last) if counted is not None and recent_s else (first, last)
        places.append(
            _place(rows, limits(model, region, tier), burndown(model), (first, last), counted, stretch)
        )  # fmt: skip
    places.sort(key=lambda each: (-(each.used_p95 or 0.0), -each.calls))
    return Utilisation(
        since=first, until=last, places=places, by_intent=_patterns(shapes, 0), by_hour=_patterns(shapes, 1),
        turned_away=turned_away, complete=complete,
    )  # fmt: skip


_Call = tuple[float, float, str, str, str, int, int, str, str, float]
"""Start and end in epoch seconds, model, region, tier, fresh prompt tokens, answer, outcome, failure, wait."""

_CALLS = """
SELECT r.wall + c.started, r.wall + coalesce(c.ended, c.started), c.model, c.region, c.service_tier,
  c.input + c.cache_write + c.cache_write_1h, c.output, c.outcome, coalesce(c.failure, ''),
  CASE c.number WHEN 0 THEN c.started ELSE -1 END
FROM calls c JOIN requests r ON r.seq = c.request WHERE r.wall >= ? AND r.wall < ? ORDER BY r.wall DESC LIMIT ?
"""


def _calls(
    connection: sqlite3.Connection, hours: float | None, span: tuple[float | None, float | None], most: int
) -> tuple[list[_Call], bool, int]:
    newest = connection.execute("SELECT max(wall) FROM requests").fetchone()[0]
    if newest is None:
        raise ValueError("the ledger holds no requests. Fix: a ledger with traffic in it")
    since = max(span[0] or 0.0, newest - hours * HOUR if hours is not None else 0.0)
    until = span[1] if span[1] is not None else math.inf
    rows: list[_Call] = connection.execute(_CALLS, (since, until, most)).fetchall()
    if not rows:
        raise ValueError("the ledger holds no calls in this stretch. Fix: a longer one, or a ledger with traffic in it")
    rows.reverse()
    turned = connection.execute(
        "SELECT count(*) FROM requests WHERE wall >= ? AND wall < ? AND failure IN ('rate_limited', 'overloaded')",
        (since, until),
    ).fetchone()[0]
    return rows, len(rows) < most, int(turned)


def _place(
    rows: Sequence[_Call], limits: Limits, burndown: float, whole: tuple[float, float], seen: float | None,
    stretch: tuple[float, float],
) -> PlaceUse:  # fmt: skip
    first, last = whole
    model, region, tier = rows[0][2:5]
    weight = limits.burndown if limits.burndown is not None else burndown
    minutes = max(1, int((last - first) // MINUTE) + 1)
    ended = np.array([each[1] for each in rows])
    place = np.minimum(((ended - first) / MINUTE).astype(int), minutes - 1)
    units = np.array([each[5] + weight * each[6] for each in rows], dtype=float)
    tokens = np.bincount(place, weights=units, minlength=minutes).astype(np.float64)
    requests = np.bincount(place, minlength=minutes).astype(np.float64)
    waits = [each[9] for each in rows if each[9] >= 0]
    took = np.array([each[1] - each[0] for each in rows])
    span = max(1.0, last - first)
    held = float(sum((each[5] + each[6]) * seconds for each, seconds in zip(rows, took, strict=True)) / span)
    use, calls = Spread.of(tokens), Spread.of(requests)
    return PlaceUse(
        model=model, region=region, service_tier=tier, calls=len(rows),
        failed=sum(each[7] == "failed" for each in rows), throttled=sum(each[8] == "rate_limited" for each in rows),
        tokens_a_minute=use, requests_a_minute=calls, limits=limits,
        used_p95=use.p95 / limits.tokens if limits.tokens else None,
        used_most=use.most / limits.tokens if limits.tokens else None,
        requests_used_p95=calls.p95 / limits.requests if limits.requests else None,
        in_flight_tokens=held, waited_p95_s=float(np.percentile(waits, 95)) if waits else 0.0,
        little=_little(rows, stretch, seen),
        outlook=outlook(_levels(tokens), limits.tokens) if limits.tokens else None,
    )  # fmt: skip


def _little(rows: Sequence[_Call], stretch: tuple[float, float], seen: float | None) -> Little:
    first, last = stretch
    span = max(1.0, last - first)
    inside = [each for each in rows if each[1] >= first]
    seconds = sum(each[1] - max(first, each[0]) for each in inside)
    mean = seconds / len(inside) if inside else 0.0
    expected = len(inside) / span * mean
    return Little(
        calls_per_s=len(inside) / span, seconds_a_call=mean, expected=expected, seen=seen,
        agrees=None if seen is None else agrees(seen, expected),
    )  # fmt: skip


def _levels(tokens: NDArray[np.float64]) -> list[tuple[float, float]]:
    """The busy minutes (p95) of whole hours, of days where there are at least six; a part at the end is left out."""
    for step in (1_440, 60, 5):
        whole = len(tokens) // step
        if whole >= 6:
            return [
                ((number + 1) * step * MINUTE, float(np.percentile(tokens[number * step : (number + 1) * step], 95)))
                for number in range(max(0, whole - 500), whole)
            ]
    return [((number + 1) * MINUTE, float(value)) for number, value in enumerate(tokens)]


_Shape = tuple[str, str, int, int]


def _shapes(connection: sqlite3.Connection, since: float, until: float | None, most: int) -> list[_Shape]:
    """Intent, hour of the day, prompt and output tokens of requests that were answered."""
    return [
        (str(intent), f"{int(wall % DAY // HOUR):02d}", int(prompt), int(output))
        for intent, wall, prompt, output in connection.execute(
            "SELECT intent, wall, prompt_tokens, output_tokens FROM requests "
            "WHERE wall >= ? AND wall < ? AND outcome = 'delivered' AND background = '' ORDER BY wall DESC LIMIT ?",
            (since - HOUR, until if until is not None else math.inf, most),
        )
    ]


def _patterns(shapes: Sequence[_Shape], by: int) -> list[Pattern]:
    groups: dict[str, list[_Shape]] = defaultdict(list)
    for each in shapes:
        groups[str(each[by])].append(each)
    total = sum(each[2] + each[3] for each in shapes) or 1
    patterns = []
    for name, rows in groups.items():
        prompts, outputs = [each[2] for each in rows], [each[3] for each in rows]
        prompt_p50, prompt_p95 = np.percentile(prompts, (50, 95))
        output_p50, output_p95 = np.percentile(outputs, (50, 95))
        patterns.append(
            Pattern(
                name=name, requests=len(rows), prompt_p50=float(prompt_p50), prompt_p95=float(prompt_p95),
                output_p50=float(output_p50), output_p95=float(output_p95),
                share_of_tokens=(sum(prompts) + sum(outputs)) / total,
            )
        )  # fmt: skip
    return sorted(patterns, key=(lambda each: each.name) if by else (lambda each: -each.share_of_tokens))
