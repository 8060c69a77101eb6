"""Alerts when answers miss their deadline faster than the objective allows, over two windows each.

Theory of operation (Google, SRE workbook, chapter 5). An objective of .99 leaves one answer in a hundred that may be
late or fail: the error budget. The burn rate is how many times faster than that it is being used up. An alert is sent
where the rate is over its threshold in a long window, so that a few late answers wake nobody, and in a short one, so
that it ends soon after the trouble does. Answers are counted by the minute; what is older than the longest window is
forgotten, and a restart begins anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hapenny.core.clock import Clock
from hapenny.telemetry.alerts import Alerts
from hapenny.telemetry.rows import Row


class BurnWindow(NamedTuple):
    """When an alert is due. Minutes; `rate` is the burn rate, `urgent` whether somebody should be woken."""

    name: str
    long: int
    short: int
    rate: float
    urgent: bool


WINDOWS = (
    BurnWindow("1h", 60, 5, 14.4, True),
    BurnWindow("6h", 360, 30, 6.0, True),
    BurnWindow("3d", 4320, 360, 1.0, False),
)
"""2 % of a month's budget in an hour, 5 % in six, 10 % in three days (SRE workbook, chapter 5)."""
FEW = 10
"""Late answers in the long window below which nobody is told: a rate of so few says nothing."""
CHECK_S = 10.0
"""Burn rates are looked at no more often."""
_MINUTE = 60.0


class _Minute:
    """Answers of a minute."""

    __slots__ = ("bad", "count", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0
        self.bad = 0


class _Route:
    """What is known of one route."""

    __slots__ = ("burning", "checked", "minutes")

    def __init__(self) -> None:
        self.minutes: deque[_Minute] = deque()
        self.burning: set[str] = set()
        self.checked = float("-inf")

    def take(self, minute: int, bad: bool) -> None:
        if not self.minutes or self.minutes[-1].number < minute:
            self.minutes.append(_Minute(minute))
            while self.minutes[0].number <= minute - WINDOWS[-1].long:
                self.minutes.popleft()
        last = self.minutes[-1]
        last.count += 1
        last.bad += bad

    def counts(self, minute: int, span: int) -> tuple[int, int]:
        """Answers of the last `span` minutes, and how many of them were bad."""
        count = bad = 0
        for each in reversed(self.minutes):
            if each.number <= minute - span:
                break
            count += each.count
            bad += each.bad
        return count, bad


class BurnAlerts:
    """Watches the deadlines of routes.

    Args:
        objectives: by route, the share of answers that are to be in time.
        alerts: tells the operator.
        clock: the deployment's clock.
    """

    def __init__(self, objectives: Mapping[str, float], alerts: Alerts, clock: Clock) -> None:
        self.objectives = dict(objectives)
        self.alerts = alerts
        self._clock = clock
        self._routes = {route: _Route() for route in objectives}

    def observe(self, row: Row) -> None:
        """Takes a finished request; one without a deadline is none of ours."""
        known = self._routes.get(row.route)
        if known is None or row.deadline is None or row.background:
            return
        late = (row.e2e or 0.0) + row.steps.get("routing", 0.0) > row.deadline
        if row.outcome == "left" and not late:
            return  # the client did not wait for it
        now = self._clock.now()
        bad = late or row.outcome == "failed"
        known.take(int(now // _MINUTE), bad)
        if (bad or known.burning) and now - known.checked >= CHECK_S:
            known.checked = now
            self._check(row.route, known, int(now // _MINUTE))

    def rates(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Burn rates by route and window, for metrics."""
        minute = int(self._clock.now() // _MINUTE)
        for route, known in self._routes.items():
            for window in WINDOWS:
                yield (route, window.name), self._rate(route, known, minute, window.long)[0]

    def _rate(self, route: str, known: _Route, minute: int, span: int) -> tuple[float, int]:
        count, bad = known.counts(minute, span)
        return (bad / count / (1.0 - self.objectives[route]) if count else 0.0), bad

    def _check(self, route: str, known: _Route, minute: int) -> None:
        for window in WINDOWS:
            rate, bad = self._rate(route, known, minute, window.long)
            lately, _ = self._rate(route, known, minute, window.short)
            burning = window.name in known.burning
            if not burning and bad >= FEW and min(rate, lately) >= window.rate:
                known.burning.add(window.name)
                self._tell("slo_burn", route, window, rate, lately, bad)
            elif burning and lately < window.rate:
                known.burning.discard(window.name)
                self._tell("slo_burn_over", route, window, rate, lately, bad)

    def _tell(self, kind: str, route: str, window: BurnWindow, rate: float, lately: float, bad: int) -> None:
        self.alerts.send(
            kind, f"route {route}", window=window.name, burn_rate=round(rate, 2), short_burn_rate=round(lately, 2),
            limit=window.rate, late=bad, objective=self.objectives[route], urgent=int(window.urgent),
        )  # fmt: skip
