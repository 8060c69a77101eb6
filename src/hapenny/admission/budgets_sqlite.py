"""Budgets in a SQLite file, shared by all processes of a host that use the same one.

A reservation is one transaction, with a write lock from its first statement: two processes never see the same money
free. Settlements are written behind, in order, in the background; a reservation of the same process writes those that
wait first. A file that cannot be written refuses reservations (nothing is overspent) and keeps settlements waiting.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from hapenny.admission.budgets import KEPT_S, BudgetVerdict, Charge, OnSpent, Spent, Standing, unheard
from hapenny.admission.settlements import Settlements
from hapenny.core.clock import Clock
from hapenny.stores.sqlite import SqliteFile

T = TypeVar("T")

_TABLES = (
    "CREATE TABLE IF NOT EXISTS budget_spent (account TEXT NOT NULL, slice INTEGER NOT NULL, amount INTEGER NOT NULL,"
    " PRIMARY KEY (account, slice)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS budget_reserved (id TEXT NOT NULL, place INTEGER NOT NULL, account TEXT NOT NULL,"
    " first INTEGER NOT NULL, slice INTEGER NOT NULL, amount INTEGER NOT NULL, dies INTEGER NOT NULL,"
    " PRIMARY KEY (id, place)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS budget_reserved_account ON budget_reserved (account, slice)",
    "CREATE INDEX IF NOT EXISTS budget_reserved_dies ON budget_reserved (dies)",
)


class SqliteBudgets:
    """See the module.

    Args:
        path: of the file; it may be that of the keys.
        clock: the deployment's clock.
    """

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = path
        self._opened: SqliteFile | None = None
        self._clock = clock
        self._made = False
        self._turn = asyncio.Lock()
        self._settlements = Settlements(lambda: self._run(lambda db: None), clock)
        self.on_spent: OnSpent = unheard

    async def reserve(self, id: str, charges: Sequence[Charge], now: int, dies: int) -> BudgetVerdict:
        charges = tuple(charges)

        def work(db: sqlite3.Connection) -> BudgetVerdict:
            before = Standing(0, 0)
            for number, charge in enumerate(charges):
                standing = _standing(db, charge.account, charge.first, now)
                if number == 0:
                    before = standing
                if db.execute("SELECT 1 FROM budget_reserved WHERE id = ?", (id,)).fetchone() is not None:
                    return BudgetVerdict(-1, standing)
                if standing.spent + standing.reserved + charge.amount > charge.limit:
                    return BudgetVerdict(number, standing)
            db.executemany(
                "INSERT INTO budget_reserved VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (id, place, each.account, each.first, each.slice, each.amount, dies)
                    for place, each in enumerate(charges)
                ],
            )
            return BudgetVerdict(-1, before)

        return await self._run(work)

    def settle(self, id: str, amounts: Mapping[str, int] | None) -> None:
        self._settlements.add(id, amounts)

    async def standing(self, account: str, first: int, now: int) -> Standing:
        return await self._run(lambda db: _standing(db, account, first, now))

    async def expire(self, now: int) -> int:
        """What lapsed counts no more from its `dies` on; here it is written down."""

        def work(db: sqlite3.Connection) -> int:
            db.execute("DELETE FROM budget_reserved WHERE dies <= ?", (now - KEPT_S,))
            late = "SELECT count(DISTINCT id) FROM budget_reserved WHERE dies <= ? AND amount > 0"
            count = int(db.execute(late, (now,)).fetchone()[0])
            db.execute("UPDATE budget_reserved SET amount = 0 WHERE dies <= ? AND amount > 0", (now,))
            return count

        return await self._run(work)

    async def aclose(self) -> None:
        await self._settlements.aclose()
        if self._opened is not None:
            await self._opened.aclose()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work` in a transaction, after the settlements that wait."""

        async with self._turn:  # the file takes one at a time anyway; what one has written, the next does not
            batch = list(self._settlements.waiting)

            def whole(db: sqlite3.Connection) -> tuple[T, list[Spent]]:
                if not self._made:
                    for statement in _TABLES:
                        db.execute(statement)
                grown: list[Spent] = []
                for id, amounts in batch:
                    grown += _settle(db, id, amounts)
                return work(db), grown

            try:
                if self._opened is None:
                    self._opened = SqliteFile(self._path, self._clock)
                result, grown = await self._opened.run(whole)
            except (sqlite3.Error, OSError) as error:
                raise ConnectionError(f"the budgets cannot be read or written: {type(error).__name__}") from error
            self._made = True
            for _ in batch:
                self._settlements.waiting.popleft()
        for each in grown:
            self.on_spent(each)
        return result


def _standing(db: sqlite3.Connection, account: str, first: int, now: int) -> Standing:
    spent = "SELECT coalesce(sum(amount), 0) FROM budget_spent WHERE account = ? AND slice >= ?"
    held = "SELECT coalesce(sum(amount), 0) FROM budget_reserved WHERE account = ? AND slice >= ? AND dies > ?"
    return Standing(
        int(db.execute(spent, (account, first)).fetchone()[0]),
        int(db.execute(held, (account, first, now)).fetchone()[0]),
    )


def _settle(db: sqlite3.Connection, id: str, amounts: Mapping[str, int] | None) -> list[Spent]:
    rows = db.execute("SELECT account, first, slice, amount FROM budget_reserved WHERE id = ?", (id,)).fetchall()
    db.execute("DELETE FROM budget_reserved WHERE id = ?", (id,))
    grown: list[Spent] = []
    if amounts is None:
        return grown
    for account, first, slice, reserved in rows:
        amount = amounts.get(account, reserved)
        if amount <= 0:
            continue
        db.execute("DELETE FROM budget_spent WHERE account = ? AND slice < ?", (account, first))
        total = "SELECT coalesce(sum(amount), 0) FROM budget_spent WHERE account = ?"
        before = int(db.execute(total, (account,)).fetchone()[0])
        db.execute(
            "INSERT INTO budget_spent VALUES (?, ?, ?)"
            " ON CONFLICT (account, slice) DO UPDATE SET amount = amount + excluded.amount",
            (account, slice, amount),
        )
        grown.append(Spent(account, slice, before, before + amount))
    return grown
