"""What of each place's capacity the running gateway uses, by the minute, and alerts before it is used up.

Every minute the running totals of each place are compared with the minute before: tokens settled against the quota
(this process's part of it, where several share one), calls in flight in the mean, and how long the calls took that
ended. An alert is sent when a quota has been nearly full for two minutes in a row, when at the present trend it is full
within half an hour, and when more calls are in flight than calls a second times seconds a call explain (Little's law):
a place that was not given back. Each is sent once, and once more when it is over.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hapenny.capacity.littles_law import agrees
from hapenny.capacity.outlook import Outlook, outlook
from hapenny.core.clock import Clock
from hapenny.core.exchange import Target
from hapenny.telemetry.alerts import Alerts
from hapenny.telemetry.metrics import Series
from hapenny.throughput.dispatchers import Dispatchers
from hapenny.throughput.endpoint import Endpoint

EVERY_S = 60.0
KEPT = 120
"""Minutes that are remembered of a place."""
TREND = 60
"""Minutes that a trend is drawn from."""
FULL = 0.9
EASED = 0.75
"""Shares of a quota at which it is nearly full, and at which that is over."""
MINUTES_FULL = 2
SOON_S = 1_800.0
SURE = 15
"""Minutes before a trend wakes anybody,"""
HALF = 0.5
"""and the share of the quota that has to be used."""
LITTLE = 15
"""Minutes over which calls in flight are explained: longer than any call may take."""


class Minute(NamedTuple):
    """What a place did in a minute."""

    at: float
    units: float
    limit: float
    """Units that this process may use a minute; `inf`: not known."""
    in_flight: float
    """Calls, in the mean."""
    seconds: float
    """That the calls which ended took together."""

    @property
    def used(self) -> float:
        """Of the quota, as a share; 0 where it is not known."""
        return self.units / self.limit if self.limit < math.inf else 0.0


class _Place:
    """What is remembered of an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.minutes: deque[Minute] = deque(maxlen=KEPT)
        self.alerting: set[str] = set()
        self.totals = (0.0, 0.0, 0.0)
        self.outlook: Outlook | None = None

    def take(self, now: float, since: float) -> None:
        endpoint = self.endpoint
        totals = (endpoint.used_units, endpoint.occupied(now), endpoint.seconds)
        units, area, seconds = (new - old for new, old in zip(totals, self.totals, strict=True))
        self.totals = totals
        quota, span = endpoint.quota, now - since
        limit = quota.rate * 60 if quota is not None else math.inf
        self.minutes.append(Minute(now, units * 60 / span, limit, area / span, seconds))
        points = [(each.at, each.units) for each in list(self.minutes)[-TREND:]]
        self.outlook = outlook(points, limit) if limit < math.inf else None

    def little(self) -> tuple[float, float] | None:
        """Calls in flight in the mean, and those that the ended ones explain; None: not seen for long enough."""
        lately = list(self.minutes)[-LITTLE:]
        if len(lately) < LITTLE:
            return None
        seen = sum(each.in_flight for each in lately) / LITTLE
        return seen, sum(each.seconds for each in lately) / (LITTLE * EVERY_S)


class UtilisationWatch:
    """Watches the places of a deployment.

    Args:
        routes: the places in use.
        alerts: tells the operator.
        clock: the deployment's clock.
    """

    def __init__(self, routes: Dispatchers, alerts: Alerts, clock: Clock) -> None:
        self._routes = routes
        self._alerts = alerts
        self._clock = clock
        self._places: dict[tuple[Target, str], _Place] = {}
        self._since = clock.now()

    async def run(self) -> None:
        """Looks every minute, until it is cancelled."""
        while True:
            await self._clock.sleep(EVERY_S)
            self.look()

    def look(self) -> None:
        """Takes the minute that is over, and sends what alerts are due."""
        now = self._clock.now()
        if now <= self._since:
            return
        known: dict[tuple[Target, str], _Place] = {}
        for target, endpoint in self._routes.endpoints():
            key = (target, endpoint.name)
            place = self._places.get(key)
            if place is None or place.endpoint is not endpoint:
                place = _Place(endpoint)
            known[key] = place
            place.take(now, self._since)
            self._check(target, place)
        self._places = known
        self._since = now

    def view(self) -> list[dict[str, Any]]:
        """One object a place, for the console and `hapenny capacity`."""
        rows = []
        for (target, name), place in self._places.items():
            last, little = place.minutes[-1], place.little()
            rows.append(
                {
                    "model": target.model,
                    "region": target.region,
                    "service_tier": target.service_tier,
                    "endpoint": name,
                    "tokens_a_minute": round(last.units),
                    "limit": round(last.limit) if last.limit < math.inf else None,
                    "used": round(last.used, 4) if last.limit < math.inf else None,
                    "in_flight": place.endpoint.inflight,
                    "in_flight_tokens": place.endpoint.held_units,
                    "little": None if little is None else {"seen": little[0], "expected": little[1]},
                    "little_s": LITTLE * EVERY_S,
                    "runs_out_in_s": place.outlook.runs_out_in_s if place.outlook else None,
                    "stands_on": place.outlook.stands_on if place.outlook else "the quota is not known",
                    "alerting": sorted(place.alerting),
                }
            )
        return rows

    def series(self, known: Callable[[str], bool] = lambda model: True) -> Iterator[Series]:
        """For metrics, by model and endpoint. `known`: whether a model may have series of its own."""
        used: dict[tuple[str, ...], float] = {}
        flying: dict[tuple[str, ...], float] = {}
        unexplained: dict[tuple[str, ...], float] = {}
        out: dict[tuple[str, ...], float] = {}
        for (target, name), place in self._places.items():
            if not known(target.model):
                continue
            labels = (target.model, name)
            last, little = place.minutes[-1], place.little()
            if last.limit < math.inf:
                used[labels] = max(used.get(labels, 0.0), last.used)
            flying[labels] = flying.get(labels, 0.0) + place.endpoint.held_units
            if little is not None:
                unexplained[labels] = unexplained.get(labels, 0.0) + little[0] - little[1]
            if place.outlook is not None and place.outlook.runs_out_in_s is not None:
                out[labels] = min(out.get(labels, math.inf), place.outlook.runs_out_in_s)
        by = ("model", "endpoint")
        yield Series("hapenny_quota_used_ratio", "Of the tokens a minute, in the last minute.", by, used)
        yield Series("hapenny_in_flight_tokens", "Prompts and limits of answers of calls under way.", by, flying)
        yield Series("hapenny_in_flight_unexplained", "Calls in flight beyond Little's law.", by, unexplained)
        yield Series("hapenny_quota_runs_out_seconds", "At the present trend; absent: it does not.", by, out)

    def _check(self, target: Target, place: _Place) -> None:
        minutes = list(place.minutes)
        last = minutes[-1]
        subject = f"{target.model} ({place.endpoint.name})"
        share = {"used": round(last.used, 3), "limit": round(last.limit) if last.limit < math.inf else 0}
        lately = minutes[-MINUTES_FULL:]
        if "quota_near" in place.alerting:
            near = max(each.used for each in lately) >= EASED
        else:
            near = len(lately) == MINUTES_FULL and min(each.used for each in lately) >= FULL
        self._alert(place, "quota_near", near, subject, share)
        ahead = place.outlook
        left = ahead.runs_out_in_s if ahead is not None else None
        soon = not near and len(minutes) >= SURE and last.used >= HALF
        if soon and ahead is not None and left is not None and 0 < left <= SOON_S:
            detail = {**share, "in_s": round(left), "stands_on": ahead.stands_on}
            self._alert(place, "quota_runs_out", True, subject, detail)
        else:
            self._alert(place, "quota_runs_out", False, subject, share)
        little = place.little()
        if little is not None:
            seen, expected = little
            figures = {"in_flight": round(seen, 2), "explained": round(expected, 2)}
            astray = seen > expected and not agrees(seen, expected)
            self._alert(place, "in_flight_unexplained", astray, subject, figures)

    def _alert(self, place: _Place, kind: str, on: bool, subject: str, detail: dict[str, Any]) -> None:
        """Tells once that something is so, and once that it is over."""
        if on == (kind in place.alerting):
            return
        if on:
            place.alerting.add(kind)
        else:
            place.alerting.remove(kind)
        self._alerts.send(kind if on else f"{kind}_over", subject, **detail)
