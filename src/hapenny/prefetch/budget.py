"""A day's budget that jobs under way cannot break: what may be spent is held before it is, and settled after."""

from __future__ import annotations

from hapenny.core.clock import Clock

DAY = 86_400.0


class DayBudget:
    """Nano-dollars a day (UTC). What is spent today and what is held for work under way never exceed `limit`, as long
    as no work costs more than was held for it."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self.limit = limit
        """May be changed: a reload's."""
        self._clock = clock
        self._day = self._today()
        self._spent = 0
        self._held: dict[str, int] = {}

    @property
    def spent(self) -> int:
        """Spent today."""
        day = self._today()
        if day != self._day:
            self._day, self._spent = day, 0
        return self._spent

    @property
    def held(self) -> int:
        """What work under way may still cost, begun today or before."""
        return sum(self._held.values())

    @property
    def left(self) -> int:
        """What may be begun now."""
        return max(0, self.limit - self.spent - self.held)

    def hold(self, name: str, amount: int) -> bool:
        """Holds an amount for the work of that name, in place of what was held for it; False: too much, and nothing
        changes."""
        before = self._held.get(name, 0)
        if amount > self.left + before:
            return False
        self._held[name] = amount
        return True

    def resume(self, name: str, amount: int) -> None:
        """Holds an amount for work that an earlier process began: it may cost that, whatever is left."""
        self._held[name] = amount

    def settle(self, name: str, cost: int) -> None:
        """The work is over and cost so much; 0: nothing came of it."""
        self._held.pop(name, None)
        self._spent = self.spent + cost

    def load(self, spent: int) -> None:
        """What was spent today before this process began."""
        self._spent = self.spent + spent

    def _today(self) -> int:
        return int(self._clock.wall() // DAY)
