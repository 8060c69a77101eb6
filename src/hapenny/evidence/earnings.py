"""What techniques with calls of their own earn on each route: one that surely loses money stands aside, and tries again
later.

A cascade asks cheap models first and pays for them in vain where the strong one must answer after all; a summary of a
long conversation is a call too. Whether that pays hangs on the traffic, so it is read off finished requests: when the
mean saving of a technique, own calls subtracted, lies below zero by three standard errors, it behaves as if it were off
for the next requests of the route. Only money hangs on that, never an answer's quality, so looking again and again does
no harm that a bound would have to rule out.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from msgspec import Struct

from hapenny.core.exchange import Exchange
from hapenny.core.log import get_logger
from hapenny.telemetry.rows import Row

_log = get_logger("hapenny.routing")
LEAST = 40
"""Requests before a technique is judged."""
ASIDE = 2_000
"""Requests of a route until a technique that stands aside tries again."""
_ERRORS = 3.0


class _Account(Struct):
    """Savings of a technique on a route since it last began, nano-dollars."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    aside: int = 0
    """Requests that it still stands aside for."""

    @property
    def mean(self) -> float:
        return self.total / self.count

    def loses(self) -> bool:
        """Whether its mean saving is surely below zero."""
        if self.count < LEAST or self.total >= 0:
            return False
        variance = max(0.0, self.squares / self.count - self.mean**2)
        return self.mean + _ERRORS * math.sqrt(variance / self.count) < 0


class Earnings:
    """Reads finished requests and says which techniques stand aside.

    Args:
        techniques: those that pay for calls of their own, as stages are named.
    """

    def __init__(self, techniques: Collection[str]) -> None:
        self.techniques = frozenset(techniques)
        self._accounts: dict[tuple[str, str], _Account] = {}

    def book(self, exchange: Exchange, row: Row) -> None:
        """Reads a finished request."""
        if row.background or row.unpriced:
            return
        for technique in self.techniques & row.savings.keys():
            account = self._accounts.setdefault((row.route, technique), _Account())
            saved = row.savings[technique]
            account.count += 1
            account.total += saved
            account.squares += float(saved) ** 2
            if not account.aside and account.loses():
                account.aside = ASIDE
                _log.warning(
                    "a technique costs more than it saves and stands aside", route=row.route, technique=technique,
                    requests=account.count, cost=round(-account.total),
                )  # fmt: skip

    def off(self, route: str, technique: str) -> bool:
        """Whether a technique stands aside on a route; asking counts as one of the requests it does so for."""
        account = self._accounts.get((route, technique))
        if account is None or not account.aside:
            return False
        account.aside -= 1
        if not account.aside:
            del self._accounts[route, technique]
            _log.info("a technique tries again whether it saves", route=route, technique=technique)
        return True

    def aside(self) -> dict[str, list[str]]:
        """Techniques that stand aside, by route."""
        standing: dict[str, list[str]] = {}
        for (route, technique), account in sorted(self._accounts.items()):
            if account.aside:
                standing.setdefault(route, []).append(technique)
        return standing
