"""The ledger in a real PostgreSQL: the same books, once each, for all gateways."""

import asyncio

import pytest

from hapenny.core.clock import RealClock
from hapenny.telemetry.ledger import Ledger, LedgerOptions
from hapenny.telemetry.ledger_postgres import DAY_S, PostgresLedger
from hapenny.telemetry.rows import Entry
from hapenny.telemetry.summary import summarise
from tests.telemetry.test_ledger import rows

pytestmark = pytest.mark.postgres
WALL = 1_800_000_000.0


@pytest.fixture
def books(postgres_dsn, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = PostgresLedger(postgres_dsn, RealClock())
    yield made
    made.close()


def sql(dsn, statement):
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_a_row_comes_back_as_it_was_written(books):
    (row,) = rows(1)
    row.user, row.notes, row.tags = b"\x00\xff", ("a note",), {"team": "x"}
    assert books.insert([row]) == 1
    found = books.find(row.id)
    assert (found.savings, found.calls, found.baseline, found.actual) == (
        row.savings, tuple(row.calls), row.baseline, row.actual,
    )  # fmt: skip
    assert (found.user, tuple(found.notes), found.tags, found.wall) == (row.user, row.notes, row.tags, row.wall)
    assert books.find("nobody's") is None


def test_both_ledgers_say_the_same(books, postgres_dsn, tmp_path):
    from hapenny.telemetry.ledger_file import LedgerFile

    made = rows(30) + rows(20, wall=WALL + DAY_S)
    bill = Entry(kind="capacity", wall=WALL, technique="provisioned", actual=5, saved=-5, model="m")
    file = LedgerFile(str(tmp_path / "l.db"))
    for each in (file, books):
        each.insert(made)
        each.insert([bill])
        each.insert([bill])  # of another gateway
    ours = summarise(postgres_dsn)
    theirs = summarise(str(tmp_path / "l.db"))
    file.close()
    assert (ours.exchange_rows, ours.baseline, ours.actual, ours.saved) == (
        theirs.exchange_rows, theirs.baseline, theirs.actual, theirs.saved,
    )  # fmt: skip
    assert ours.exchange_rows == 50
    assert summarise(postgres_dsn).exchange_rows == 50, "a copy that is brought up to date has nothing twice"
    books.insert(rows(3))
    assert summarise(postgres_dsn).exchange_rows == 53


def test_gateways_write_side_by_side(postgres_dsn, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    async def main():
        ledgers = [Ledger(LedgerOptions(path=postgres_dsn, flush_s=0.05), RealClock()) for _ in range(3)]
        for ledger in ledgers:
            await ledger.start()
        for ledger in ledgers:
            for row in rows(200):
                ledger.write(row)
        await asyncio.gather(*(ledger.flush() for ledger in ledgers))
        for ledger in ledgers:
            await ledger.aclose()

    asyncio.run(main())
    assert sql(postgres_dsn, "SELECT count(*), count(DISTINCT seq) FROM requests") == [(600, 600)]


def test_days_are_partitions_and_leave_their_sums(books, postgres_dsn):
    old, new = rows(10), rows(4, wall=WALL + 10 * DAY_S)
    books.insert([*old, *new])
    before = summarise(postgres_dsn)
    assert books.prune(WALL + 5 * DAY_S) == 10
    assert books.prune(WALL + 5 * DAY_S) == 0
    assert sql(postgres_dsn, "SELECT count(*) FROM requests") == [(4,)]
    assert sql(postgres_dsn, "SELECT count(*) FROM calls JOIN requests ON seq = request") == sql(
        postgres_dsn, "SELECT count(*) FROM calls"
    )
    after = summarise(postgres_dsn)
    assert after.exchange_rows == 4, "the copy lets go of the day, too"
    assert (after.baseline, after.actual, after.saved) == (
        before.baseline, before.actual, before.saved,
    )  # fmt: skip


def test_rows_wait_for_a_connection_that_was_cut_and_none_is_twice(postgres_dsn, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    async def main():
        ledger = Ledger(LedgerOptions(path=postgres_dsn, flush_s=0.05), RealClock())
        await ledger.start()
        for round_ in range(6):
            for row in rows(50):
                ledger.write(row)
            await asyncio.sleep(0.03)
            # Everybody else's connection is ended, in whatever it is doing.
            await asyncio.to_thread(
                sql,
                postgres_dsn,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'"
                f" AND {round_} < 5 AND query ILIKE '%ledger%'",
            )
        while ledger.waiting:
            await asyncio.sleep(0.05)
        await ledger.aclose()

    asyncio.run(main())
    assert sql(postgres_dsn, "SELECT count(*), count(DISTINCT id) FROM requests") == [(300, 300)]


def test_a_batch_whose_answer_was_lost_is_not_written_again(books, postgres_dsn, monkeypatch):
    import sqlite3

    import psycopg

    made = rows(5)
    committed = psycopg.Connection.commit
    real = psycopg.transaction.Transaction.__exit__

    def cut(self, *arguments):
        real(self, *arguments)  # it is there
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(psycopg.transaction.Transaction, "__exit__", cut)
    with pytest.raises(sqlite3.OperationalError):
        books.insert(made)
    monkeypatch.setattr(psycopg.transaction.Transaction, "__exit__", real)
    assert committed is psycopg.Connection.commit
    more = rows(2)
    books.insert([*made, *more])
    assert sql(postgres_dsn, "SELECT count(*), count(DISTINCT id) FROM requests") == [(7, 7)]


def test_a_row_that_a_database_cannot_hold_is_left_out_alone(postgres_dsn, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    async def main():
        ledger = Ledger(LedgerOptions(path=postgres_dsn, flush_s=0.05), RealClock())
        await ledger.start()
        good, bad = rows(3), rows(1)[0]
        bad.actual = 1 << 70
        for row in [*good, bad]:
            ledger.write(row)
        await ledger.flush()
        assert ledger.refused == 1
        await ledger.aclose()

    asyncio.run(main())
    assert sql(postgres_dsn, "SELECT count(*) FROM requests") == [(3,)]


def test_what_an_absent_database_does_not_take_is_put_aside_for_the_next_start(postgres_dsn, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    async def main():
        ledger = Ledger(LedgerOptions(path=postgres_dsn, flush_s=0.05), RealClock())
        with monkeypatch.context() as patched:
            patched.setattr(ledger.file, "path", "postgresql://127.0.0.1:1/nowhere")
            ledger.file.close()
            for row in rows(5):
                ledger.write(row)
            await ledger.aclose()
        again = Ledger(LedgerOptions(path=postgres_dsn), RealClock())
        await again.start()
        await again.aclose()

    asyncio.run(main())
    assert sql(postgres_dsn, "SELECT count(*) FROM requests") == [(5,)]


def test_books_of_a_newer_hapenny_are_refused_only_where_they_cannot_be_used(books, postgres_dsn):
    sql(postgres_dsn, "UPDATE hapenny_schema SET version = 99 WHERE name = 'ledger'")
    PostgresLedger(postgres_dsn, RealClock()).close()  # a column more does no harm
    assert sql(postgres_dsn, "SELECT version FROM hapenny_schema WHERE name = 'ledger'") == [(99,)]
    sql(postgres_dsn, "UPDATE hapenny_schema SET least = 99 WHERE name = 'ledger'")
    with pytest.raises(ValueError, match="newer hapenny"):
        PostgresLedger(postgres_dsn, RealClock())


def test_gateways_of_two_versions_write_into_one_ledger(books, postgres_dsn, monkeypatch):
    from hapenny.stores.postgres_link import Step
    from hapenny.telemetry import ledger_postgres

    with monkeypatch.context() as newer:
        newer.setattr(
            ledger_postgres, "STEPS", [*ledger_postgres.STEPS, Step("ALTER TABLE requests ADD COLUMN more TEXT")]
        )
        upgraded = PostgresLedger(postgres_dsn, RealClock())
    (old,), (new,) = rows(1), rows(1)
    books.insert([old])
    upgraded.insert([new])
    for each in (books, upgraded):
        assert each.find(old.id).baseline == old.baseline
        assert each.find(new.id).baseline == new.baseline
    upgraded.close()
    PostgresLedger(postgres_dsn, RealClock()).close()  # a gateway of before is started again meanwhile
    assert sql(postgres_dsn, "SELECT version FROM hapenny_schema WHERE name = 'ledger'") == [(2,)]
    assert summarise(postgres_dsn).exchange_rows == 2
