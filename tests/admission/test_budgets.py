"""The contract of budgets, for every store of them."""

import asyncio
import multiprocessing
import random

import pytest

from hapenny.admission.budgets import KEPT_S, Charge, MemoryBudgets, Spent
from hapenny.admission.budgets_sqlite import SqliteBudgets
from hapenny.core.clock import RealClock

NOW, LATER = 1_800_000_000, 1_800_000_600


def charge(amount, *, limit=100, account="tenant:a/usd/day", slice=NOW, first=NOW):
    return Charge(account, first, slice, limit, amount)


def build(kind, request, tmp_path):
    clock = RealClock()
    if kind == "memory":
        return MemoryBudgets(clock)
    if kind == "redis":
        from hapenny.admission.budgets_redis import RedisBudgets

        return RedisBudgets(request.getfixturevalue("redis_url"), clock)
    if kind == "postgres":
        from hapenny.admission.budgets_postgres import PostgresBudgets

        return PostgresBudgets(request.getfixturevalue("postgres_dsn"), clock)
    return SqliteBudgets(str(tmp_path / "budgets.db"), clock)


REDIS = pytest.param("redis", marks=pytest.mark.redis)
POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


@pytest.fixture(params=["memory", "sqlite", REDIS, POSTGRES])
async def budgets(request, tmp_path):
    made = build(request.param, request, tmp_path)
    yield made
    await made.aclose()


async def test_what_is_spent_and_reserved_never_exceeds_the_limit(budgets):
    assert (await budgets.reserve("a", [charge(60)], NOW, LATER)).refused == -1
    verdict = await budgets.reserve("b", [charge(41)], NOW, LATER)
    assert verdict.refused == 0
    assert verdict.standing == (0, 60)
    assert (await budgets.reserve("c", [charge(40)], NOW, LATER)).refused == -1
    budgets.settle("a", {"tenant:a/usd/day": 10})
    assert await budgets.standing("tenant:a/usd/day", NOW, NOW) == (10, 40)
    assert (await budgets.reserve("d", [charge(50)], NOW, LATER)).refused == -1


async def test_all_charges_or_none(budgets):
    two = [charge(10), charge(10, account="key:k/tokens/day", limit=5)]
    assert (await budgets.reserve("a", two, NOW, LATER)).refused == 1
    assert await budgets.standing("tenant:a/usd/day", NOW, NOW) == (0, 0)


async def test_settling_is_done_once_and_names_its_accounts(budgets):
    two = [charge(10), charge(20, account="key:k/tokens/day")]
    await budgets.reserve("a", two, NOW, LATER)
    budgets.settle("a", {"key:k/tokens/day": 3})  # the other one is not known: what was reserved counts
    budgets.settle("a", {"key:k/tokens/day": 99, "tenant:a/usd/day": 99})
    budgets.settle("nobody's", {"tenant:a/usd/day": 99})
    assert await budgets.standing("tenant:a/usd/day", NOW, NOW) == (10, 0)
    assert await budgets.standing("key:k/tokens/day", NOW, NOW) == (3, 0)


async def test_a_reservation_of_a_dead_process_comes_back_and_a_late_bill_counts(budgets):
    await budgets.reserve("a", [charge(100)], NOW, LATER)
    assert (await budgets.reserve("b", [charge(1)], LATER - 1, LATER + 9)).refused == 0
    assert (await budgets.reserve("c", [charge(100)], LATER, LATER + 9)).refused == -1
    assert await budgets.expire(LATER) in (0, 1)
    budgets.settle("c", None)
    budgets.settle("a", {"tenant:a/usd/day": 7})
    assert await budgets.standing("tenant:a/usd/day", NOW, LATER) == (7, 0)
    await budgets.reserve("d", [charge(50)], NOW, LATER)
    await budgets.expire(LATER + KEPT_S)
    budgets.settle("d", {"tenant:a/usd/day": 50})  # nobody remembers it any more
    assert await budgets.standing("tenant:a/usd/day", NOW, LATER) == (7, 0)


async def test_the_same_reservation_is_made_once(budgets):
    for _ in range(3):
        assert (await budgets.reserve("job_1", [charge(60)], NOW, LATER)).refused == -1
    assert await budgets.standing("tenant:a/usd/day", NOW, NOW) == (0, 60)


async def test_slices_before_the_window_do_not_count(budgets):
    await budgets.reserve("a", [charge(90)], NOW, LATER)
    budgets.settle("a", {"tenant:a/usd/day": 90})
    tomorrow = NOW + 86_400
    day = charge(100, slice=tomorrow, first=tomorrow)
    assert (await budgets.reserve("b", [day], tomorrow, tomorrow + 9)).refused == -1


async def test_growth_is_told_once_with_before_and_after(budgets):
    heard = []
    budgets.on_spent = heard.append
    for id, cost in (("a", 30), ("b", 0), ("c", 25)):
        await budgets.reserve(id, [charge(30)], NOW, LATER)
        budgets.settle(id, {"tenant:a/usd/day": cost})
        await budgets.standing("tenant:a/usd/day", NOW, NOW)
    assert heard == [Spent("tenant:a/usd/day", NOW, 0, 30), Spent("tenant:a/usd/day", NOW, 30, 55)]


async def test_a_hundred_at_once_never_overspend(budgets):
    chance = random.Random(5)
    paid = []

    async def one(number):
        worst = chance.randint(1, 9)
        verdict = await budgets.reserve(f"r{number}", [charge(worst)], NOW, LATER)
        if verdict.refused < 0:
            await asyncio.sleep(chance.random() / 1_000)
            cost = chance.randint(0, worst)
            paid.append(cost)
            budgets.settle(f"r{number}", {"tenant:a/usd/day": cost})

    await asyncio.gather(*(one(number) for number in range(100)))
    standing = await budgets.standing("tenant:a/usd/day", NOW, NOW)
    assert standing == (sum(paid), 0)
    assert standing.spent <= 100


def _spend(path, process, results):
    async def run():
        budgets = SqliteBudgets(path, RealClock())
        spent = 0
        for number in range(60):
            id = f"{process}.{number}"
            if (await budgets.reserve(id, [charge(7, limit=500)], NOW, LATER)).refused < 0:
                budgets.settle(id, {"tenant:a/usd/day": 6})
                spent += 6
        await budgets.aclose()
        results.put(spent)

    asyncio.run(run())


async def test_processes_on_one_file_never_overspend(tmp_path):
    context = multiprocessing.get_context("spawn")
    results, path = context.Queue(), str(tmp_path / "budgets.db")
    processes = [context.Process(target=_spend, args=(path, number, results)) for number in range(3)]
    for process in processes:
        process.start()
    spent = sum(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    budgets = SqliteBudgets(path, RealClock())
    assert await budgets.standing("tenant:a/usd/day", NOW, NOW) == (spent, 0)
    assert 490 <= spent <= 500
    await budgets.aclose()


async def test_a_file_that_cannot_be_written_refuses_and_keeps_what_is_to_settle(tmp_path):
    path = tmp_path / "budgets.db"
    budgets = SqliteBudgets(str(path), RealClock())
    await budgets.reserve("a", [charge(60)], NOW, LATER)
    import sqlite3

    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    budgets.settle("a", {"tenant:a/usd/day": 5})
    with pytest.raises(ConnectionError):
        await budgets.reserve("b", [charge(1)], NOW, LATER)
    other.execute("ROLLBACK")
    other.close()
    assert await budgets.standing("tenant:a/usd/day", NOW, NOW) == (5, 0)
    await budgets.aclose()
