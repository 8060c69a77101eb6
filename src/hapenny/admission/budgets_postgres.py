"""Budgets in PostgreSQL, shared by all gateways of a deployment: what is spent outlives every one of them.

A reservation is one transaction under the locks of its accounts, taken in the order of their names: two gateways never
see the same money free, and never wait for each other in a circle. Settlements are written behind, in order. A
database that is lost refuses reservations (nothing is overspent) and keeps settlements waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from hapenny.admission.budgets import KEPT_S, BudgetVerdict, Charge, OnSpent, Spent, Standing, unheard
from hapenny.admission.settlements import Settlement, Settlements
from hapenny.core.clock import Clock
from hapenny.stores.postgres_link import PostgresLink, Step

_STEPS = [
    Step(
        "CREATE TABLE IF NOT EXISTS budget_spent (account TEXT NOT NULL, slice BIGINT NOT NULL, amount BIGINT NOT NULL,"
        " PRIMARY KEY (account, slice));"
        "CREATE TABLE IF NOT EXISTS budget_reserved (id TEXT NOT NULL, place INTEGER NOT NULL, account TEXT NOT NULL,"
        " first BIGINT NOT NULL, slice BIGINT NOT NULL, amount BIGINT NOT NULL, dies BIGINT NOT NULL,"
        " PRIMARY KEY (id, place));"
        "CREATE INDEX IF NOT EXISTS budget_reserved_account ON budget_reserved (account, slice);"
        "CREATE INDEX IF NOT EXISTS budget_reserved_dies ON budget_reserved (dies)"
    )
]
_TOGETHER = 200
"""Settlements a transaction at most."""


class PostgresBudgets:
    """See the module.

    Args:
        dsn: of the database.
        clock: the deployment's clock.
    """

    def __init__(self, dsn: str, clock: Clock) -> None:
        self._link = PostgresLink(dsn, clock, "budgets", _STEPS)
        self._settlements = Settlements(self._settle_waiting, clock)
        self._settling = asyncio.Lock()
        self.on_spent: OnSpent = unheard

    async def reserve(self, id: str, charges: Sequence[Charge], now: int, dies: int) -> BudgetVerdict:
        charges = tuple(charges)
        await self._settle_waiting()

        async def work(db: Any) -> BudgetVerdict:
            await _lock(db, [charge.account for charge in charges])
            before = Standing(0, 0)
            for number, charge in enumerate(charges):
                standing = await _standing(db, charge.account, charge.first, now)
                if number == 0:
                    before = standing
                    known = await db.execute("SELECT 1 FROM budget_reserved WHERE id = %s", (id,))
                    if await known.fetchone() is not None:
                        return BudgetVerdict(-1, standing)
                if standing.spent + standing.reserved + charge.amount > charge.limit:
                    return BudgetVerdict(number, standing)
            async with db.cursor() as cursor:
                await cursor.executemany(
                    "INSERT INTO budget_reserved VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    [
                        (id, place, each.account, each.first, each.slice, each.amount, dies)
                        for place, each in enumerate(charges)
                    ],
                )
            return BudgetVerdict(-1, before)

        return await self._link.run(work)

    def settle(self, id: str, amounts: Mapping[str, int] | None) -> None:
        self._settlements.add(id, amounts)

    async def standing(self, account: str, first: int, now: int) -> Standing:
        await self._settle_waiting()
        return await self._link.run(lambda db: _standing(db, account, first, now))

    async def expire(self, now: int) -> int:
        """What lapsed counts no more from its `dies` on; here it is written down."""
        await self._settle_waiting()

        async def work(db: Any) -> int:
            await db.execute("DELETE FROM budget_reserved WHERE dies <= %s", (now - KEPT_S,))
            late = "SELECT count(DISTINCT id) FROM budget_reserved WHERE dies <= %s AND amount > 0"
            count = (await (await db.execute(late, (now,))).fetchone())[0]
            await db.execute("UPDATE budget_reserved SET amount = 0 WHERE dies <= %s AND amount > 0", (now,))
            return int(count)

        return await self._link.run(work)

    async def aclose(self) -> None:
        await self._settlements.aclose()
        await self._link.aclose()

    async def _settle_waiting(self) -> None:
        """Writes the settlements of this process that wait. Raises `ConnectionError`."""
        waiting = self._settlements.waiting
        if not waiting:
            return
        async with self._settling:
            while waiting:
                batch = list(islice(waiting, _TOGETHER))
                grown = await self._link.run(_settler(batch))
                for _ in batch:
                    waiting.popleft()
                for each in grown:
                    self.on_spent(each)


def _settler(batch: Sequence[Settlement]) -> Callable[[Any], Awaitable[list[Spent]]]:
    async def work(db: Any) -> list[Spent]:
        cursor = await db.execute(
            "SELECT DISTINCT account FROM budget_reserved WHERE id = ANY(%s)", ([id for id, _ in batch],)
        )
        await _lock(db, [account for (account,) in await cursor.fetchall()])
        grown: list[Spent] = []
        for id, amounts in batch:
            grown += await _settle(db, id, amounts)
        return grown

    return work


async def _lock(db: Any, accounts: Sequence[str]) -> None:
    for account in sorted(set(accounts)):
        await db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (account,))


async def _standing(db: Any, account: str, first: int, now: int) -> Standing:
    cursor = await db.execute(
        "SELECT (SELECT coalesce(sum(amount), 0) FROM budget_spent WHERE account = %s AND slice >= %s),"
        " (SELECT coalesce(sum(amount), 0) FROM budget_reserved WHERE account = %s AND slice >= %s AND dies > %s)",
        (account, first, account, first, now),
    )
    spent, held = await cursor.fetchone()
    return Standing(int(spent), int(held))


async def _settle(db: Any, id: str, amounts: Mapping[str, int] | None) -> list[Spent]:
    cursor = await db.execute(
        "DELETE FROM budget_reserved WHERE id = %s RETURNING account, first, slice, amount", (id,)
    )
    rows = await cursor.fetchall()
    grown: list[Spent] = []
    for account, first, slice, reserved in rows if amounts is not None else ():
        amount = amounts.get(account, reserved) if amounts is not None else 0
        if amount <= 0:
            continue
        await db.execute("DELETE FROM budget_spent WHERE account = %s AND slice < %s", (account, first))
        total = await db.execute("SELECT coalesce(sum(amount), 0) FROM budget_spent WHERE account = %s", (account,))
        before = int((await total.fetchone())[0])
        await db.execute(
            "INSERT INTO budget_spent VALUES (%s, %s, %s)"
            " ON CONFLICT (account, slice) DO UPDATE SET amount = budget_spent.amount + excluded.amount",
            (account, slice, amount),
        )
        grown.append(Spent(account, slice, before, before + amount))
    return grown
