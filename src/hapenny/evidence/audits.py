"""Which requests are drawn for audits, and what audits may cost: never more than a share of what the route pays.

Theory of operation. Where the share of requests is not fixed, a part of what the route really pays is set aside for
evidence, and nothing is asked that these means do not cover: what one call of its kind costs is held back while it is
under way. What watches techniques in force comes first: of the requests that are left to everything-off for comparison
all are drawn, since a cheap answer beside the dear one costs little, of those that a technique changed a few, since
each costs a dear answer. What looks for more to open leaves a reserve while something is in force, so that a suspicion
finds means to be settled at once. Of requests of one kind all have the same chance at a time, so that what is drawn is
like the traffic.
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
_AMPLE = 4.0
"""By how much more audits are drawn while means are kept that nothing else calls for."""
_HELD_BACK = 100.0
"""Probes' worth of means that the search for further openings leaves to what watches those in force."""
_RESERVE = 250.0
"""Probes' worth of means that are kept at most."""
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
        self._means = 0.0
        self._prices = {True: 0.0, False: 0.0}
        """What one costs lately: an audit, which asks the dear model; a probe."""

    @property
    def spent(self) -> int:
        """What this day's audits have cost, nano-dollars."""
        self._renew()
        return self._spent

    def earn(self, actual: int) -> None:
        """A request of the route was paid, nano-dollars. Evidence is part of the bill: of each dollar that is paid for
        requests it gets what makes it the stated share of both together."""
        share = self._options.budget_share
        most = _RESERVE * self._prices[False] or float("inf")
        self._means = min(most, self._means + share * (1 - share) * actual)

    def wants(
        self, *, dear: bool = True, watching: bool = True, suspicious: bool = False, held: bool = False,
        interest: float = 1.0,
    ) -> bool:  # fmt: skip
        """Whether this request is to be audited: drawn, within the means, and not too many at once.

        Args:
            dear: it costs an answer of the dear model.
            watching: it watches what is in force, rather than looking for more to open.
            suspicious: a suspicion is being settled.
            held: something is in force, for whose watch a reserve is kept.
            interest: how much it is worth beside others of its kind, in (0, 1].
        """
        self._renew()
        options = self._options
        cap = options.dollars_a_day
        if self._open >= options.at_once or (cap is not None and self._spent >= cap * NANO):
            return False
        chance = options.share
        if chance is None:
            chance = self._chance(dear, watching, suspicious, held) * (1.0 if watching else interest)
        return self._clock.random.random() < chance

    def _chance(self, dear: bool, watching: bool, suspicious: bool, held: bool) -> float:
        left = 0.0 if watching or not held else _HELD_BACK * self._prices[False]
        if self._means <= max(left, self._prices[dear]):
            return 0.0
        if watching and not dear:
            return _SETTLING if suspicious else 1.0
        if not dear:
            return _DRAWN
        kept = self._means / (_RESERVE * self._prices[False]) if self._prices[False] else 0.0
        return CHANGED * (_AMPLE if kept > 0.5 else 1.0)

    async def run(self, audit: Awaitable[tuple[T, Spent]], *, dear: bool = False) -> T | None:
        """Makes one audit, which tells what it cost; None where the baseline or the judge failed. `dear`: it asks the
        dear model."""
        held = self._prices[dear]
        self._open += 1
        self._means -= held
        try:
            outcome, cost = await audit
        except Exception:
            return None
        finally:
            self._open -= 1
            self._means += held
        self.charge(cost, dear=dear)
        return outcome

    def charge(self, cost: int, *, dear: bool = False) -> None:
        """Books what evidence cost, nano-dollars."""
        self._renew()
        self._spent += cost
        self._means -= cost
        before = self._prices[dear]
        self._prices[dear] = cost if not before else before + _FADE * (cost - before)

    def _renew(self) -> None:
        day = int(self._clock.wall() // DAY_S)
        if day != self._day:
            self._day, self._spent = day, 0
