"""Roll-ups say what the rows say: whatever was written when, by whom, and whatever was deleted since."""

import sqlite3
from itertools import pairwise

import numpy as np
import pytest
from benchmarks.console.made_ledger import rows as made_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from hapenny.telemetry import rollups, sampled, searched, times
from hapenny.telemetry.figures import Scope
from hapenny.telemetry.ledger_file import LedgerFile
from hapenny.telemetry.rolled import Rolled
from hapenny.telemetry.rows import verdict
from hapenny.telemetry.summary import summarise

UNTIL = 1_796_000_000.0


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A ledger of 7,000 rows over ten days, of which 2,000 are rolled up three times over and the rest wait."""
    path = str(tmp_path_factory.mktemp("rolled") / "ledger.db")
    file = LedgerFile(path)
    rows = list(made_rows(7_000, UNTIL, days=10, tenants=4))
    for start in range(0, len(rows), 1_000):
        batch = rows[start : start + 1_000]
        file.insert([*batch, *(verdict(row.id, 0.5, "audit", row.wall) for row in batch[::100])])
    file.close()
    return path, rows


@pytest.fixture
def rolled(ledger):
    reader = Rolled(ledger[0])
    with reader.look():
        yield reader
    reader.close()


def test_some_rows_are_rolled_up_and_some_wait(rolled):
    mark = rollups.mark_of(rolled.connection)
    assert 0 < mark < 7_000


SCOPES = [
    Scope(),
    Scope(tenant="tenant-01"),
    Scope(route="chat"),
    Scope(feature=""),
    Scope(model="(cache)"),
    Scope(tenant="tenant-00", model="claude-haiku", feature="support"),
]


@pytest.mark.parametrize("scope", SCOPES)
def test_totals_are_those_of_the_report(ledger, rolled, scope):
    whole, totals = summarise(ledger[0], scope), rolled.totals(scope)
    assert (totals.requests, totals.background_requests) == (whole.exchange_rows, whole.background_rows)
    assert (totals.baseline, totals.saved, totals.error, totals.actual) == (
        whole.baseline, whole.saved, whole.estimate_error, whole.actual,
    )  # fmt: skip
    assert (totals.failed, totals.unpriced, totals.violations) == (whole.errors, 0, whole.identity_violations)
    assert totals.hits == sum(whole.cache.values())
    assert totals.e2e.count == whole.e2e.count
    for share in ("p50", "p90", "p95", "p99"):
        assert getattr(totals.e2e, share) == pytest.approx(getattr(whole.e2e, share), rel=0.05, abs=0.002)
        assert getattr(totals.ttft, share) == pytest.approx(getattr(whole.ttft, share), rel=0.05, abs=0.002)


@pytest.mark.parametrize("scope", SCOPES[:4])
def test_techniques_are_those_of_the_report(ledger, rolled, scope):
    whole = {each.name: (each.requests, each.saved, each.cost) for each in summarise(ledger[0], scope).techniques}
    assert {each.name: (each.requests, each.saved, each.own) for each in rolled.savings(scope)} == whole
    spans = rolled.baselines(scope)
    assert all(set(each.course) <= set(spans) for each in rolled.savings(scope))


@pytest.mark.parametrize("by", ["tenant", "route", "feature", "model", "key"])
@pytest.mark.parametrize(
    "scope", [Scope(), Scope(since=UNTIL - 86_400), Scope(route="chat"), Scope(tenant="tenant-02")]
)
def test_groups_add_up_to_the_totals(rolled, by, scope):
    groups = rolled.groups(scope, by)
    span = rolled.cube(scope)
    totals = rolled.totals(Scope(since=span.since, until=span.until, tenant=scope.tenant, route=scope.route))
    for name in ("requests", "background_requests", "actual", "background_actual", "baseline", "saved", "failed"):
        assert sum(getattr(group.totals, name) for group in groups) == getattr(totals, name)
    assert all(sum(group.course) == group.totals.actual for group in groups)
    few = rolled.groups(scope, by, 1)
    assert sum(group.totals.actual for group in few) == totals.actual
    assert len(groups) == 1 or few[-1].others


def test_the_course_covers_the_range_without_gaps(rolled):
    scope = Scope(since=UNTIL - 5 * 86_400, until=UNTIL - 86_400)
    course = rolled.course(scope, 40)
    assert len(course) <= 40
    assert all(later.at == earlier.at + earlier.span for earlier, later in pairwise(course))
    assert sum(spot.totals.requests for spot in course) == rolled.totals(scope).requests > 0


def test_an_hour_is_drawn_by_the_minute(rolled):
    course = rolled.course(Scope(since=UNTIL - 7_200, until=UNTIL - 3_600), 120)
    assert {spot.span for spot in course} == {60}


def test_layers_failures_certificates_and_calls_are_counted(ledger, rolled):
    rows = ledger[1]
    layers = {}
    for each in rolled.counts(Scope(), "layer"):
        layers[each.name] = layers.get(each.name, 0) + each.requests
    assert layers["exact/hit"] == sum(row.cache_layer == "exact" and row.cache_hit for row in rows)
    failures = sum(each.requests for each in rolled.counts(Scope(route="chat"), "failure"))
    assert failures == sum(row.failure is not None and row.route == "chat" for row in rows)
    certificates = rolled.counts(Scope(), "certificate")
    assert sum(each.requests for each in certificates) == sum(bool(row.notes) for row in rows)
    assert {each.name.partition("/")[2] for each in certificates} == {"loss at most 0.02 with 95 % confidence"}
    calls = rolled.calls(Scope())
    assert sum(call.calls for call in calls) == sum(len(row.calls) for row in rows)
    assert sum(call.cost for call in calls) == sum(call.cost or 0 for row in rows for call in row.calls)


@pytest.mark.parametrize(("what", "value"), [("slow", lambda row: row.e2e), ("costly", lambda row: row.actual)])
def test_the_slowest_and_the_dearest_are_found(ledger, rolled, what, value):
    foreground = [row for row in ledger[1] if not row.background and value(row)]
    best = sorted(foreground, key=value, reverse=True)[:10]
    lines = searched.by_number(rolled.connection, rolled.peaks(Scope(), what, 10), Scope())
    assert [line.id for line in lines] == [row.id for row in best]


def test_a_sample_says_where_the_time_goes(rolled):
    spending = sampled.spending(rolled.connection, Scope(feature="search"))
    assert spending.requests > 100
    assert 0 < spending.overhead.p50 < spending.overhead.p99 < 0.01
    assert set(spending.parts) == {"before", "first", "rest", "after"}
    assert set(spending.stages) == {"exact", "semantic", "tiers", "tokens"}


def test_scores_come_with_intervals(rolled):
    (scored,) = [each for each in sampled.scores(rolled.connection, Scope()) if each.name == "claude-haiku"]
    assert scored.low < scored.mean == 0.5 < scored.high


def test_search_goes_back_page_by_page(ledger, rolled):
    wanted = searched.Wanted(outcome="failed")
    ids, until = [], None
    while True:
        page = searched.search(rolled.connection, Scope(until=until), wanted, page=7)
        ids += [line.id for line in page.lines]
        if page.searched_to is None:
            break
        until = page.searched_to
    expected = [row.id for row in sorted(ledger[1], key=lambda row: -row.wall) if row.outcome == "failed"]
    assert ids == expected
    assert searched.search(rolled.connection, Scope(), searched.Wanted(id=expected[0][:-1])).lines
    assert not searched.search(rolled.connection, Scope(tenant="nobody"), searched.Wanted(id=expected[0])).lines


def test_what_is_written_meanwhile_shows_at_the_next_look(tmp_path):
    path = str(tmp_path / "l.db")
    file = LedgerFile(path)
    rows = list(made_rows(4_500, UNTIL, days=2))
    reader = Rolled(path)
    for start in range(0, len(rows), 900):
        file.insert(rows[start : start + 900])
        with reader.look():
            assert reader.totals(Scope()).requests + reader.totals(Scope()).background_requests == start + 900
    file.close()
    reader.close()


def test_a_ledger_of_an_older_version_is_read_whole_and_rolled_up_by_the_next_writer(tmp_path):
    path = str(tmp_path / "l.db")
    file = LedgerFile(path)
    rows = list(made_rows(3_000, UNTIL, days=2))
    file.insert(rows)
    file.close()
    with sqlite3.connect(path) as old:
        for (name,) in old.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'rolled_%' AND type = 'table'"
        ).fetchall():
            old.execute(f"DROP TABLE {name}")
    reader = Rolled(path)
    with reader.look():
        before = reader.totals(Scope())
    assert before.requests + before.background_requests == 3_000
    reader.close()
    file = LedgerFile(path)
    file.insert(list(made_rows(1, UNTIL)))
    file.close()
    reader = Rolled(path)
    with reader.look():
        assert rollups.mark_of(reader.connection) == 3_001
        assert reader.totals(Scope(until=UNTIL)).actual >= before.actual
    reader.close()


@pytest.mark.parametrize("hours", [24.0, 30.5])
def test_pruned_rows_leave_the_roll_ups(tmp_path, hours):
    path = str(tmp_path / "l.db")
    file = LedgerFile(path)
    rows = list(made_rows(5_000, UNTIL, days=4))
    file.insert(rows)
    before = UNTIL // 86_400 * 86_400 - hours * 3_600
    kept = [row for row in rows if row.wall >= before]
    assert file.prune(before) == len(rows) - len(kept) > 0
    reader = Rolled(path)
    with reader.look():
        totals = reader.totals(Scope())
        assert totals.requests + totals.background_requests == len(kept)
        assert totals.actual == sum(row.actual or 0 for row in kept)
        saved = sum(nano for row in kept for nano in row.savings.values())
        assert sum(each.saved for each in reader.savings(Scope())) == saved
    assert file.prune(UNTIL + 1) == len(kept)
    file.insert(rows[:3])
    with reader.look():
        assert reader.totals(Scope()).requests + reader.totals(Scope()).background_requests == 3
    file.close()
    reader.close()


def test_rows_go_before_their_sums(tmp_path):
    path = str(tmp_path / "l.db")
    file = LedgerFile(path)
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE rolled_days")
    rows = list(made_rows(2_500, UNTIL, days=1))
    assert file.insert(rows) == 2_500
    file.close()
    assert summarise(path).exchange_rows > 2_000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 200), min_size=1, max_size=80))
def test_percentiles_of_letters_are_within_their_bins(values):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (x REAL)")
    connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
    letters = connection.execute(f"SELECT {rollups.letters('x', '1')} FROM t").fetchone()[0]
    counts = times.counted([(letters, len(values))])
    assert counts.sum() == pytest.approx(len(values))
    for q in (0.5, 0.95):
        exact = float(np.quantile(np.array(values), q, method="inverted_cdf"))
        found = times.quantile(counts, q)
        assert found == pytest.approx(exact, rel=0.055, abs=0.0011) or exact > 99
    assert times.under(counts, 1_000.0) == pytest.approx(1.0)


def test_a_busy_hour_keeps_some_of_its_times(tmp_path):
    path = str(tmp_path / "l.db")
    file = LedgerFile(path)
    file.insert(list(made_rows(4_000, UNTIL, days=0.0005)))
    file.close()
    reader = Rolled(path)
    with reader.look():
        totals = reader.totals(Scope())
        kept = sum(len(row[0]) for row in reader.select(rollups.HOURS, "e2e", "1", ()))
    assert totals.e2e.count == totals.e2e_n > 3_000
    assert 300 <= kept < 1_500
    reader.close()


def test_wide_ranges_are_kept_while_next_to_nothing_came(tmp_path):
    path = str(tmp_path / "l.db")
    file = LedgerFile(path)
    rows = list(made_rows(3_010, UNTIL, days=6))
    file.insert(rows[:3_000])
    reader = Rolled(path)
    with reader.look():
        before = reader.totals(Scope()).actual
    file.insert(rows[3_000:3_002])
    with reader.look():
        assert reader.totals(Scope()).actual == before
        today = reader.totals(Scope(since=UNTIL - 43_200))
        reader.forget()
        assert reader.totals(Scope(since=UNTIL - 43_200)).actual == today.actual
    file.insert(rows[3_002:])
    file.close()
    with reader.look():
        assert reader.totals(Scope()).actual == sum(row.actual or 0 for row in rows)
    reader.close()
