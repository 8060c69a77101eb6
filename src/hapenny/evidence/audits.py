"""Which requests are drawn for audits, and what audits may cost: more while evidence is thin, and after a suspicion.

Theory of operation. Where the share is not fixed, a part of what the route really pays is set aside for evidence. What
watches techniques in force comes first: of the requests that are left to everything-off for comparison all are drawn,
since a cheap answer beside the dear one costs little, of those that a technique changed a few, since each costs a dear
answer. What is left looks for more to open; a reserve stays, so that a suspicion finds means to be settled at once. Of
requests of one kind all have the same chance at a time, so that what is drawn is like the traffic.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeAlias, TypeVar

from msgspec import Struct

from hapenny.core.clock import Clock
from hapenny.core.money import NANO

DAY_S = 86_400.0
T = TypeVar("T")
Spent: TypeAlias = int

_DRAWN, _SETTLING, CHANGED = 0.5, 0.75, 0.04
"""Chance to be drawn: of a request that costs a probe, during a suspicion, and of one that costs an audit."""
_HELD_BACK = 5.0
"""Audits' worth of means that probes for further openings leave to what watches those in force."""
_RESERVE = 150.0
"""Audits' worth of means that are kept at most."""
_DEBT = 100.0
"""Audits' worth of means that a suspicion may borrow."""
_FADE = 0.05


class AuditOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """`share` of requests that are audited; None: as evidence asks for, within `budget_share` of what the route pays.
    `dollars_a_day`: the most it may cost; None: no such limit."""

    share: float | None = 0.02
    dollars_a_day: float | None = 1.0
    budget_share: float = 0.03
    at_once: int = 8

    def __post_init__(self) -> None:
        if self.share is not None and not 0 <= self.share <= 1:
            raise ValueError(f"share: {self.share}. Fix: a share of traffic from 0 to 1")
        if not 0 <= self.budget_share <= 1:
            raise ValueError(f"budget_share: {self.budget_share}. Fix: a share of the bill from 0 to 1")


class Auditor:
    """Draws the requests of one route that are audited, and keeps account of what that costs.

    Args:
        options: share and budget.
        clock: chance and the day.
    """

    def __init__(self, options: AuditOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._day, self._spent, self._open = -1, 0, 0
        self._means, self._price = 0.0, 0.0

    @property
    def spent(self) -> int:
        """What this day's audits have cost, nano-dollars."""
        self._renew()
        return self._spent

    def earn(self, actual: int) -> None:
        """A request of the route was paid, nano-dollars."""
        most = max(_RESERVE * self._price, 1.0) if self._price else float("inf")
        self._means = min(most, self._means + self._options.budget_share * actual)

    def wants(self, *, dear: bool = True, watching: bool = True, suspicious: bool = False) -> bool:
        """Whether this request is to be audited: drawn, within the means, and not too many at once.

        Args:
            dear: it costs an answer of the dear model.
            watching: it watches what is in force, rather than looking for more to open.
            suspicious: a suspicion is being settled.
        """
        self._renew()
        options = self._options
        cap = options.dollars_a_day
        if self._open >= options.at_once or (cap is not None and self._spent >= cap * NANO):
            return False
        chance = options.share if options.share is not None else self._chance(dear, watching, suspicious)
        return self._clock.random.random() < chance

    def _chance(self, dear: bool, watching: bool, suspicious: bool) -> float:
        if suspicious and watching:
            return _SETTLING if self._means > -_DEBT * self._price else 0.0
        if self._means <= (0.0 if watching else _HELD_BACK * self._price):
            return 0.0
        if watching and not dear:
            return 1.0
        return CHANGED if dear else _DRAWN

    async def run(self, audit: Awaitable[tuple[T, Spent]]) -> T | None:
        """Makes one audit, which tells what it cost; None where the baseline or the judge failed."""
        self._open += 1
        try:
            outcome, cost = await audit
        except Exception:
            return None
        finally:
            self._open -= 1
        self.charge(cost)
        return outcome

    def charge(self, cost: int) -> None:
        """Books what evidence cost, nano-dollars."""
        self._renew()
        self._spent += cost
        self._means -= cost
        self._price = cost if not self._price else self._price + _FADE * (cost - self._price)

    def _renew(self) -> None:
        day = int(self._clock.wall() // DAY_S)
        if day != self._day:
            self._day, self._spent = day, 0
