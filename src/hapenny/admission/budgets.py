"""Budgets: reserve, settle, expire, in integers.

Before a paid call whatever it may cost at worst is *reserved* in every account it counts for, all or nothing; when it
has ended it is *settled* by what it did cost, and the difference is free again. What is spent and reserved together
never exceeds a limit, however many calls begin at once, so nothing is overspent as long as no call costs more than its
worst case.

A call belongs to the slice of the window in which it began (`hapenny.admission.windows`). A reservation whose process
died is given back at `dies`; it is remembered for `KEPT_S` longer, so that a call that ended after all is still booked.

Everything an operation needs is in its arguments, times included, and all of it is integers and names: an
implementation is one transaction, or one script on a server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from hapenny.core.clock import Clock

KEPT_S = 7 * 86_400
"""How long a reservation that was given back is remembered."""


class Charge(NamedTuple):
    """`amount` to take from `account`, of which slices from `first` on may hold `limit` together. Units are the
    account's: nano-dollars or tokens."""

    account: str
    first: int
    slice: int
    limit: int
    amount: int


class Standing(NamedTuple):
    """How an account stands in its window."""

    spent: int
    reserved: int


class BudgetVerdict(NamedTuple):
    """The answer to `reserve`: the number of the charge that did not fit, -1 for none; and how its account stood (of
    the first one, if all fit)."""

    refused: int
    standing: Standing


class Spent(NamedTuple):
    """An account's spending has grown, from `before` to `after` in the window that the call began in."""

    account: str
    slice: int
    before: int
    after: int


OnSpent: TypeAlias = Callable[[Spent], None]
"""Is told of every settlement that cost something. Must neither wait nor raise."""


class BudgetStore(Protocol):
    """The contract (`tests/admission/test_budgets.py` holds every implementation to it). Methods that wait raise
    `ConnectionError` when the store cannot be used."""

    on_spent: OnSpent

    async def reserve(self, id: str, charges: Sequence[Charge], now: int, dies: int) -> BudgetVerdict:
        """Reserves all charges or none. An `id` that is known already is not reserved twice. `now` and `dies`: epoch
        seconds."""
        ...

    def settle(self, id: str, amounts: Mapping[str, int] | None) -> None:
        """Replaces what was reserved by what was spent, by account; an account that is not in `amounts` has spent what
        was reserved. None: nothing was spent at all. Never waits; an unknown or settled `id` changes nothing."""
        ...

    async def standing(self, account: str, first: int, now: int) -> Standing:
        """How an account stands; settlements of this process are in it."""
        ...

    async def expire(self, now: int) -> int:
        """Gives back reservations that are past their `dies`; returns how many."""
        ...

    async def aclose(self) -> None:
        """Writes what `settle` left to write, and lets go of the store."""
        ...


def unheard(spent: Spent) -> None:
    """Nobody listens."""


class _Open:
    __slots__ = ("charges", "dies", "lapsed")

    def __init__(self, charges: tuple[Charge, ...], dies: int) -> None:
        self.charges = charges
        self.dies = dies
        self.lapsed = False


class MemoryBudgets:
    """Budgets of this process alone; they end with it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: dict[str, dict[int, int]] = {}
        self._reserved: dict[str, dict[int, int]] = {}
        self._open: dict[str, _Open] = {}
        self._sweep_at = 1_024
        self.on_spent: OnSpent = unheard

    async def reserve(self, id: str, charges: Sequence[Charge], now: int, dies: int) -> BudgetVerdict:
        if id in self._open:
            return BudgetVerdict(-1, self._standing(charges[0].account, charges[0].first))
        if len(self._open) >= self._sweep_at:
            await self.expire(now)
            self._sweep_at = 2 * len(self._open) + 1_024
        for number, charge in enumerate(charges):
            standing = self._standing(charge.account, charge.first)
            if standing.spent + standing.reserved + charge.amount > charge.limit:
                await self.expire(now)
                standing = self._standing(charge.account, charge.first)
                if standing.spent + standing.reserved + charge.amount > charge.limit:
                    return BudgetVerdict(number, standing)
        before = self._standing(charges[0].account, charges[0].first) if charges else Standing(0, 0)
        for charge in charges:
            slices = self._reserved.setdefault(charge.account, {})
            slices[charge.slice] = slices.get(charge.slice, 0) + charge.amount
        self._open[id] = _Open(tuple(charges), dies)
        return BudgetVerdict(-1, before)

    def settle(self, id: str, amounts: Mapping[str, int] | None) -> None:
        opened = self._open.pop(id, None)
        if opened is None:
            return
        if not opened.lapsed:
            self._give_back(opened)
        for charge in opened.charges if amounts is not None else ():
            amount = amounts.get(charge.account, charge.amount) if amounts is not None else 0
            if amount > 0:
                slices = self._spent.setdefault(charge.account, {})
                for old in [each for each in slices if each < charge.first]:
                    del slices[old]
                before = sum(slices.values())
                slices[charge.slice] = slices.get(charge.slice, 0) + amount
                self.on_spent(Spent(charge.account, charge.slice, before, before + amount))

    async def standing(self, account: str, first: int, now: int) -> Standing:
        await self.expire(now)
        return self._standing(account, first)

    async def expire(self, now: int) -> int:
        late = [id for id, opened in self._open.items() if opened.dies <= now]
        count = 0
        for id in late:
            opened = self._open[id]
            if not opened.lapsed:
                opened.lapsed = True
                self._give_back(opened)
                count += 1
            if opened.dies + KEPT_S <= now:
                del self._open[id]
        return count

    async def aclose(self) -> None:
        self._open.clear()

    def _standing(self, account: str, first: int) -> Standing:
        spent, reserved = self._spent.get(account, {}), self._reserved.get(account, {})
        return Standing(
            sum(amount for slice, amount in spent.items() if slice >= first),
            sum(amount for slice, amount in reserved.items() if slice >= first),
        )

    def _give_back(self, opened: _Open) -> None:
        for charge in opened.charges:
            slices = self._reserved[charge.account]
            left = slices[charge.slice] - charge.amount
            if left:
                slices[charge.slice] = left
            else:
                del slices[charge.slice]
