"""Audits: a bounded, budgeted share of traffic is also answered by the baseline, off the path, and compared.

What comes out are pairs (score of the router, loss of the served answer), which certificates are calibrated on and
monitors watch. An audit never touches the request it audits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import Struct

from hapenny.core.clock import Clock
from hapenny.core.money import NANO

DAY_S = 86_400.0


class AuditOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """`share` of routed requests that are audited, and how many dollars a day that may cost."""

    share: float = 0.02
    dollars_a_day: float = 1.0
    at_once: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share: {self.share}. Fix: a share of traffic from 0 to 1")


class Served(Struct, kw_only=True, frozen=True):
    """A finished request as an audit needs it. Held in memory only until it is judged."""

    id: str
    route: str
    intent: str
    weak: bool
    score: float
    answer: str


class Pair(Struct, kw_only=True, frozen=True):
    """One audited request: `loss` in [0, 1] of the served answer against the baseline's. No text."""

    id: str
    route: str
    intent: str
    score: float
    loss: float
    weak: bool
    cost: int
    """Nano-dollars of the baseline call and the judge."""
    wall: float


Baseline: TypeAlias = Callable[[], Awaitable[tuple[str, int]]]
"""Asks the baseline model in a background row of its own: its answer and what it cost, nano-dollars."""
Judge: TypeAlias = Callable[[str, str], Awaitable[tuple[float, int]]]
"""Loss in [0, 1] of the served answer against the baseline's, and what judging cost, nano-dollars."""


class Auditor:
    """Decides which requests are audited, runs the audits and tells whoever listens.

    Args:
        options: share and budget.
        clock: chance and the day.
    """

    def __init__(self, options: AuditOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._day, self.spent, self._open = -1, 0, 0
        self._listeners: list[Callable[[Pair], None]] = []

    def listen(self, listener: Callable[[Pair], None]) -> None:
        """Calls `listener` with every pair."""
        self._listeners.append(listener)

    def wants(self) -> bool:
        """Whether this request is to be audited: drawn, within the day's budget, and not too many at once."""
        self._renew()
        if self._open >= self._options.at_once or self.spent >= self._options.dollars_a_day * NANO:
            return False
        return self._clock.random.random() < self._options.share

    def _renew(self) -> None:
        day = int(self._clock.wall() // DAY_S)
        if day != self._day:
            self._day, self.spent = day, 0

    async def run(self, served: Served, baseline: Baseline, judge: Judge) -> Pair | None:
        """Audits one request; None where the baseline or the judge failed (what was spent by then is still counted)."""
        self._open += 1
        spent = 0
        try:
            reference, cost = await baseline()
            spent += cost
            loss, cost = await judge(served.answer, reference)
            spent += cost
        except Exception:
            return None
        finally:
            self._open -= 1
            self._renew()
            self.spent += spent
        pair = Pair(
            id=served.id,
            route=served.route,
            intent=served.intent,
            score=served.score,
            loss=loss,
            weak=served.weak,
            cost=spent,
            wall=self._clock.wall(),
        )
        for listener in self._listeners:
            listener(pair)
        return pair
