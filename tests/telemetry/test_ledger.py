"""The ledger loses nothing it says it has, blocks nobody, and survives being killed."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from hapenny.cli.report import report
from hapenny.core.clock import RealClock
from hapenny.simulation.loop import clock as virtual_clock
from hapenny.simulation.loop import run as run_virtual
from hapenny.telemetry import spill
from hapenny.telemetry.ledger import Ledger, LedgerOptions
from hapenny.telemetry.rows import Entry, Row
from hapenny.telemetry.schema import ADDED_COLUMNS
from hapenny.telemetry.summary import summarise
from tests.settling import eventually
from tests.telemetry import made


def rows(count, wall=1_800_000_000.0, **more):
    clock = made.Clock()
    book = made.books(clock)
    found = []
    for _ in range(count):
        ex = made.exchange(clock, **more)
        ex.step("exact", free=True)
        made.deliver(ex)
        row = book.close(ex)
        row.wall = wall
        found.append(row)
    return found


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "books" / "ledger.db")


@pytest.mark.parametrize(
    "batch",
    [
        [{}],
        [{}, {"user": b"u"}, {"failure": "timeout", "ttft": 0.25}],
        [
            {"session": b"s", "arms": {"s": "b"}},
            {"user": b"u", "baseline": None, "deadline": 2.0},
            {"steps": {"send": 0.1}},
        ],
    ],
)
def test_rows_of_one_batch_keep_what_each_has(path, batch):
    async def main():
        ledger = Ledger(LedgerOptions(path=path), RealClock())
        plain = rows(1)[0]
        made_rows = [msgspec.structs.replace(plain, id=f"r{n}", **fields) for n, fields in enumerate(batch)]
        for row in made_rows:
            ledger.write(row)
        await ledger.flush()
        for row in made_rows:
            found = await ledger.get(row.id)
            assert {name: getattr(found, name) for field in batch for name in field} == {
                name: getattr(row, name) for field in batch for name in field
            }
        await ledger.aclose()

    asyncio.run(main())


def test_a_row_is_found_before_and_after_it_is_written(path):
    async def main():
        clock = made.Clock()
        book = made.books(clock)
        ex = made.exchange(clock, made.ask("hi"), user="u", feature="search", session="s")
        ex.arms["style"] = "b"
        ex.note("temperature was dropped")
        ex.target = made.Target("cheap")
        ex.step("routing")
        made.call(book, ex, input=5, output=1, purpose="hedge", technique="hedging", outcome="abandoned")
        made.served(book, ex)
        row = book.close(ex)
        ledger = Ledger(LedgerOptions(path=path, flush_s=1), RealClock())
        await ledger.start()
        ledger.write(row)
        assert await ledger.get(row.id) is row
        assert ledger.waiting == 1
        await ledger.flush()
        assert ledger.waiting == 0
        found = await ledger.get(row.id)
        row.notes = list(row.notes)
        assert found == row
        assert await ledger.get("nobody") is None
        await ledger.aclose()

    asyncio.run(main())


async def test_rows_reach_the_file_by_themselves(path):
    ledger = Ledger(LedgerOptions(path=path, flush_s=0.05), RealClock())
    await ledger.start()
    for row in rows(5):
        ledger.write(row)
    await eventually(lambda: not ledger.waiting)
    with sqlite3.connect(path) as reader:
        assert reader.execute("SELECT count(*), sum(saved) > 0 FROM requests").fetchone() == (5, 1)
    await ledger.aclose()


async def test_closing_writes_what_waits(path):
    ledger = Ledger(LedgerOptions(path=path, flush_s=1), RealClock())
    await ledger.start()
    for row in rows(3):
        ledger.write(row)
    await ledger.aclose()
    with sqlite3.connect(path) as reader:
        assert reader.execute("SELECT count(*) FROM requests").fetchone() == (3,)


async def test_a_full_queue_folds_rows_into_sums_and_counts_them(path):
    ledger = Ledger(LedgerOptions(path=path, flush_s=1, queue=4), RealClock())
    made_rows = rows(10)
    for row in made_rows:
        ledger.write(row)
    assert (ledger.waiting, ledger.overflowed) == (4, 6)
    await ledger.aclose()
    with sqlite3.connect(path) as reader:
        baseline = reader.execute("SELECT sum(baseline) FROM requests").fetchone()[0]
        kept = reader.execute("SELECT sum(baseline), sum(saved), sum(rows) FROM entries").fetchone()
    assert baseline + kept[0] == sum(row.baseline for row in made_rows)
    assert kept[1] == sum(row.saved for row in made_rows[4:])
    assert kept[2] == 6


async def test_a_failing_disk_keeps_rows_until_it_works_again(path):
    ledger = Ledger(LedgerOptions(path=path, flush_s=1), RealClock())
    blocker = sqlite3.connect(path, isolation_level=None)
    ledger.file.connection.execute("PRAGMA busy_timeout=10")
    blocker.execute("BEGIN EXCLUSIVE")
    for row in rows(2):
        ledger.write(row)
    await ledger.flush()
    assert ledger.failed_writes == 1
    assert ledger.waiting == 2
    blocker.execute("ROLLBACK")
    await ledger.flush()
    assert ledger.waiting == 0
    blocker.close()
    await ledger.aclose()


async def test_two_processes_may_share_a_file(path):
    one, two = Ledger(LedgerOptions(path=path), RealClock()), Ledger(LedgerOptions(path=path), RealClock())
    for row in rows(3):
        one.write(row)
    for row in rows(2):
        two.write(row)
    await one.flush()
    await two.flush()
    with sqlite3.connect(path) as reader:
        assert reader.execute("SELECT count(*), count(DISTINCT seq) FROM requests").fetchone() == (5, 5)
    await one.aclose()
    await two.aclose()


async def test_old_rows_leave_their_sums(path):
    ledger = Ledger(LedgerOptions(path=path), RealClock())
    old, new = rows(3, wall=1_000.0), rows(2, wall=9_000.0)
    for row in old + new:
        ledger.write(row)
    await ledger.flush()
    assert await ledger.prune(5_000.0) == 3
    assert await ledger.get(old[0].id) is None
    assert await ledger.get(new[0].id) is not None
    with sqlite3.connect(path) as reader:
        total = reader.execute("SELECT sum(baseline), sum(saved) FROM entries").fetchone()
        assert total == (sum(row.baseline for row in old), sum(row.saved for row in old))
        assert reader.execute("SELECT count(*) FROM savings").fetchone() == (2,)
    await ledger.aclose()


async def test_capacity_is_booked(path):
    ledger = Ledger(LedgerOptions(path=path), RealClock())
    ledger.book(Entry(kind="capacity", wall=1.0, technique="provisioned", actual=21_180_000_000, saved=-21_180_000_000))
    await ledger.aclose()
    with sqlite3.connect(path) as reader:
        assert reader.execute("SELECT kind, actual + saved FROM entries").fetchone() == ("capacity", 0)


async def test_an_hour_of_a_capacity_is_booked_once_whoever_books_it(path):
    hour = Entry(kind="capacity", wall=3_600.0, technique="owned", actual=7, saved=-7, model="models.big")
    first, second = Ledger(LedgerOptions(path=path), RealClock()), Ledger(LedgerOptions(path=path), RealClock())
    for ledger in (first, second, first):
        ledger.book(hour)
        ledger.book(msgspec.structs.replace(hour, model="models.other"))
        await ledger.flush()
    second.book(msgspec.structs.replace(hour, wall=7_200.0))
    await first.aclose()
    await second.aclose()
    with sqlite3.connect(path) as reader:
        assert reader.execute("SELECT model, wall FROM entries ORDER BY model, wall").fetchall() == [
            ("models.big", 3_600.0),
            ("models.big", 7_200.0),
            ("models.other", 3_600.0),
        ]


async def test_a_file_of_the_first_version_is_read_as_it_is_and_goes_on_when_it_is_written(path):
    ledger = Ledger(LedgerOptions(path=path), RealClock())
    [old] = rows(1)
    ledger.write(old)
    await ledger.aclose()
    with sqlite3.connect(path) as file:  # what came since the first version is taken away again
        for table, columns in ADDED_COLUMNS:
            for column in columns:
                file.execute(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
        file.execute("PRAGMA user_version=1")
    before = summarise(path)
    assert before.saved == old.saved
    assert [technique.alone for technique in before.techniques] == [None]
    assert CliRunner().invoke(report, ["--ledger", path]).exit_code == 0
    ledger = Ledger(LedgerOptions(path=path), RealClock())
    [new] = rows(1)
    ledger.write(new)
    await ledger.flush()
    assert (await ledger.get(old.id)).saved == old.saved
    assert (await ledger.get(new.id)).freed == "exact"
    await ledger.aclose()
    assert summarise(path).saved == old.saved + new.saved


def test_a_file_from_the_future_is_refused(path):
    Ledger(LedgerOptions(path=path), RealClock())
    sqlite3.connect(path).execute("PRAGMA user_version=99")
    with pytest.raises(ValueError, match="newer hapenny"):
        Ledger(LedgerOptions(path=path), RealClock())


def test_virtual_time_writes_inline(path):
    async def main():
        clock = virtual_clock()
        ledger = Ledger(LedgerOptions(path=path, flush_s=0.5), clock)
        await ledger.start()
        for row in rows(3):
            ledger.write(row)
        await clock.sleep(1.0)
        assert ledger.waiting == 0
        await ledger.aclose()

    run_virtual(main())
    with sqlite3.connect(path) as reader:
        assert reader.execute("SELECT count(*) FROM requests").fetchone() == (3,)


def test_steady_traffic_is_written_once_each_flush_and_no_row_waits_longer(path):
    async def main():
        clock = virtual_clock()
        clock.costs["ledger"] = 0.002  # seconds a row: rows keep coming while others are written
        batches, work = [], clock.work

        async def counted(kind, units, fn):
            if kind == "ledger":
                batches.append(units)
            return await work(kind, units, fn)

        clock.work = counted
        ledger = Ledger(LedgerOptions(path=path, flush_s=0.5), clock)
        await ledger.start()
        for row in rows(500):
            ledger.write(row)
            await clock.sleep(0.01)
            assert ledger.waiting <= 50 + 10 + 2  # of half a second, and of the time a write takes
        assert sum(batches) <= 500
        assert len(batches) <= 10
        await ledger.aclose()
        assert sum(batches) == 500

    run_virtual(main())


KILLED = """
import asyncio, sys, time
from hapenny.core.clock import RealClock
from hapenny.telemetry.ledger import Ledger, LedgerOptions
from hapenny.telemetry.rows import Row

async def main():
    ledger = Ledger(LedgerOptions(path=sys.argv[1], flush_s=0.2), RealClock())
    await ledger.start()
    n = 0
    while True:
        for _ in range(20):
            ledger.write(Row(id=f"r{n}", wall=time.time(), tenant="t", baseline=3, savings={"exact": 2}, actual=1))
            n += 1
        print(n, time.time(), flush=True)
        await asyncio.sleep(0.005)

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [0.9, 1.37])
def test_a_killed_process_loses_at_most_the_last_second(path, after):
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED), path], stdout=subprocess.PIPE, text=True)
    said = [process.stdout.readline().split()]
    while float(said[-1][1]) < float(said[0][1]) + after:
        said.append(process.stdout.readline().split())
    os.kill(process.pid, signal.SIGKILL)
    killed = time.time()
    said += [line.split() for line in process.stdout.read().splitlines()]
    process.wait()
    process.stdout.close()
    with sqlite3.connect(path) as reader:
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        count, sums = reader.execute(
            "SELECT count(*), sum(baseline - saved - estimate_error - actual) FROM requests"
        ).fetchone()
        assert reader.execute("SELECT count(*) FROM savings").fetchone() == (count,)
        assert reader.execute("SELECT max(seq) FROM requests").fetchone() == (count,)
    certain = max([int(n) for n, t in said if float(t) < killed - 1.0], default=0)
    assert count >= max(certain, 1)
    assert sums == 0

    async def again():
        ledger = Ledger(LedgerOptions(path=path), RealClock())
        ledger.write(Row(id="after", wall=0.0, tenant="t"))
        await ledger.aclose()

    asyncio.run(again())
    with sqlite3.connect(path) as reader:
        assert reader.execute("SELECT count(*) FROM requests").fetchone() == (count + 1,)


async def test_a_row_that_cannot_be_written_stops_no_other(path):
    ledger = Ledger(LedgerOptions(path=path, flush_s=0.05), RealClock())
    await ledger.start()
    good, bad = rows(5), rows(1)[0]
    bad.actual = 2**70  # more than SQLite's integers hold
    for row in (*good[:2], bad, *good[2:]):
        ledger.write(row)
    await ledger.flush()
    assert (ledger.written, ledger.refused, ledger.waiting) == (5, 1, 0)
    await ledger.aclose()
    with sqlite3.connect(path) as reader:
        assert {row[0] for row in reader.execute("SELECT id FROM requests")} == {row.id for row in good}


def test_a_failed_retention_does_not_end_the_writer(path):
    async def main():
        clock = virtual_clock()
        ledger = Ledger(LedgerOptions(path=path, retention_days=1), clock)
        await ledger.start()
        with sqlite3.connect(path) as other:
            other.execute("CREATE TRIGGER kept BEFORE DELETE ON requests BEGIN SELECT RAISE(ABORT, 'kept'); END")
        ledger.write(rows(1, wall=1.0)[0])
        await clock.sleep(7_200)
        ledger.write(rows(1)[0])
        await clock.sleep(5)
        assert ledger.guard.failing
        for row in rows(3):
            ledger.write(row)
        await clock.sleep(30)
        assert (ledger.written, ledger.waiting) == (5, 0)
        await ledger.aclose()

    run_virtual(main())


def ids(path):
    with sqlite3.connect(path) as reader:
        return sorted(row[0] for row in reader.execute("SELECT id FROM requests"))


async def test_rows_that_a_locked_file_does_not_take_are_put_aside_and_read_at_the_next_start(path):
    ledger = Ledger(LedgerOptions(path=path, flush_s=1), RealClock())
    await ledger.start()
    kept = rows(3)
    ledger.file.connection.execute("PRAGMA busy_timeout=10")
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    for row in kept:
        ledger.write(row)
    ledger.book(Entry(kind="feedback", wall=1.0, technique="", actual=0, request=kept[0].id, detail={"score": 1.0}))
    await ledger.aclose()
    blocker.execute("ROLLBACK")
    blocker.close()
    (aside,) = list(Path(path).parent.glob("*.spill-*"))
    assert aside.stat().st_mode & 0o077 == 0
    assert ids(path) == []
    again = Ledger(LedgerOptions(path=path), RealClock())
    await again.start()
    assert ids(path) == sorted(row.id for row in kept)
    assert (await again.get(kept[1].id)).saved == kept[1].saved
    assert not aside.exists()
    await again.aclose()


async def test_rows_put_aside_are_booked_once_also_where_a_start_was_cut_short(path, monkeypatch, tmp_path):
    """The rows were written and the process died before it removed the file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = rows(4)
    Path(path).parent.mkdir(parents=True)
    first = spill.save(path, kept, "one")
    copy = first.read_bytes()
    ledger = Ledger(LedgerOptions(path=path), RealClock())
    await ledger.start()
    await ledger.aclose()
    spill.save(path, kept[:2] + rows(1), "two").open("ab").write(b"00000000 {half a line")
    first.write_bytes(copy)
    first.chmod(0o600)
    ledger = Ledger(LedgerOptions(path=path), RealClock())
    await ledger.start()
    await ledger.aclose()
    assert len(ids(path)) == 5
    assert sorted(row.id for row in kept) == sorted(set(ids(path)) & {row.id for row in kept})
    assert list(spill.left(path)) == []


def test_what_is_not_ours_is_no_book(path):
    Path(path).parent.mkdir(parents=True)
    aside = spill.save(path, rows(1), "one")
    aside.chmod(0o666)
    assert list(spill.left(path)) == []
    aside.chmod(0o600)
    link = aside.with_name(aside.name.replace("one", "two"))
    link.symlink_to(aside)
    assert list(spill.left(path)) == [aside]


async def test_a_file_that_was_taken_away_is_noticed_and_begun_anew(path):
    ledger = Ledger(LedgerOptions(path=path, flush_s=1), RealClock())
    await ledger.start()
    ledger.write(rows(1)[0])
    await ledger.flush()
    shutil.rmtree(Path(path).parent)
    after = rows(2)
    for row in after:
        ledger.write(row)
    await ledger.flush()
    assert ids(path) == sorted(row.id for row in after)
    assert (await ledger.get(after[0].id)).id == after[0].id
    await ledger.aclose()


@pytest.mark.parametrize("sync_s", [0.0, 1.0])
def test_rows_are_synced_within_the_time_also_when_nothing_follows(path, sync_s, monkeypatch):
    async def main():
        clock = virtual_clock()
        ledger = Ledger(LedgerOptions(path=path, flush_s=0.5, sync_s=sync_s), clock)
        synced, sync = [], ledger.file.sync
        monkeypatch.setattr(ledger.file, "sync", lambda: (synced.append(clock.now()), sync())[1])
        await ledger.start()
        started = clock.now()
        ledger.write(rows(1)[0])
        await clock.sleep(100)
        assert len(synced) == 1  # and the disk rests where there is nothing to sync
        assert synced[0] - started <= 0.5 + sync_s
        for _ in range(30):
            ledger.write(rows(1)[0])
            await clock.sleep(1)
        assert len(synced) >= 15
        await ledger.aclose()

    run_virtual(main())


def test_a_writer_keeps_up_with_a_loop_that_never_rests(path):
    """Rows come as fast as a busy process makes them; few transactions take them, and none is folded."""

    async def main():
        ledger = Ledger(LedgerOptions(path=path), RealClock())
        await ledger.start()
        kept = rows(1)[0]
        for number in range(15_000):
            ledger.write(msgspec.structs.replace(kept, id=f"r{number}"))
            if number % 50 == 0:
                await asyncio.sleep(0)
        await ledger.aclose()
        assert (ledger.overflowed, ledger.written) == (0, 15_000)

    asyncio.run(main())
    assert len(ids(path)) == 15_000


def test_a_writer_that_fails_of_anything_is_soon_back_and_keeps_the_sums(path):
    """Its task is not begun again after a minute: until then a busy gateway's queue is full."""
    made = rows(10)

    async def main():
        clock = virtual_clock()
        ledger = Ledger(LedgerOptions(path=path, queue=4), clock)
        await ledger.start()
        insert, tries = ledger.file.insert, []

        def broken(*args, **more):
            tries.append(args)
            if len(tries) < 9:
                raise ArithmeticError
            return insert(*args, **more)

        ledger.file.insert = broken
        for row in made:
            ledger.write(row)
        await clock.sleep(20)
        assert (len(tries), ledger.waiting, ledger.overflowed) == (9, 0, 6)
        assert ledger.guard.failing
        await ledger.aclose()

    run_virtual(main())
    with sqlite3.connect(path) as reader:
        written = reader.execute("SELECT sum(baseline) FROM requests").fetchone()[0]
        folded = reader.execute("SELECT sum(baseline), sum(rows) FROM entries").fetchone()
    assert written + folded[0] == sum(row.baseline for row in made)
    assert folded[1] == 6
