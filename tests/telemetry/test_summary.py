"""The report says what the rows say: sums, latencies, violations, in every form it is printed."""

import asyncio
import json
import re
import sqlite3

import numpy as np
import pytest
from click.testing import CliRunner

from hapenny.cli.report import report, span
from hapenny.console.html.charts import money, seconds
from hapenny.console.html.report import page
from hapenny.core.clock import RealClock
from hapenny.telemetry.ledger import Ledger, LedgerOptions
from hapenny.telemetry.rows import Entry
from hapenny.telemetry.summary import Scope, summarise
from tests.telemetry.filled import fill


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    return str(path), fill(path, 300)


@pytest.fixture(scope="module")
def summary(filled):
    return summarise(filled[0])


def test_the_sums_are_those_of_the_rows(summary, filled):
    _, rows = filled
    assert summary.baseline == sum(row.baseline for row in rows)
    assert summary.actual == sum(row.actual for row in rows)
    assert summary.saved == sum(row.saved for row in rows) == sum(summary.by_technique.values())
    assert summary.baseline - summary.saved - summary.estimate_error == summary.actual
    assert summary.estimate_error_share == pytest.approx(sum(abs(row.estimate_error) for row in rows) / summary.actual)
    assert summary.exchange_rows == sum(1 for row in rows if not row.background)
    assert summary.background_rows == sum(1 for row in rows if row.background)
    assert summary.errors == sum(1 for row in rows if row.outcome == "failed")
    assert summary.identity_violations == 0
    assert summary.would_save["semantic"] == sum(row.would_save.get("semantic", 0) for row in rows)


def test_latencies_are_those_of_delivered_answers(summary, filled):
    values = [row.ttft for row in filled[1] if row.outcome == "delivered" and not row.background]
    assert summary.ttft.count == len(values) == sum(summary.ttft.counts)
    assert summary.ttft.p95 == pytest.approx(np.percentile(values, 95))


def test_groups_and_slices_add_up_to_the_whole(summary, filled):
    clients = [row for row in filled[1] if not row.background]
    for groups in (summary.features, summary.models, summary.routes):
        assert sum(group.actual for group in groups) == sum(row.actual for row in clients)
        assert sum(group.requests for group in groups) == len(clients)
    assert sum(part.actual for part in summary.course) == summary.actual
    assert {group.name for group in summary.models} == {"cheap", "dear", "(cache)", "(none)"}


def test_a_scope_leaves_the_rest_out(filled):
    path, rows = filled
    middle = rows[150].wall
    early, late = summarise(path, Scope(until=middle)), summarise(path, Scope(since=middle))
    assert (early.exchange_rows + early.background_rows, late.exchange_rows + late.background_rows) == (150, 150)
    search = summarise(path, Scope(feature="search"))
    assert search.actual == sum(row.actual for row in rows if row.feature == "search")
    assert summarise(path, Scope(tenant="nobody")).exchange_rows == 0


def test_a_row_that_was_tampered_with_is_counted_as_a_violation(filled, tmp_path):
    copy = str(tmp_path / "copy.db")
    with sqlite3.connect(filled[0]) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        seq = target.execute("SELECT min(request) FROM savings").fetchone()[0]
        target.execute("UPDATE savings SET nano = nano + 1 WHERE request = ?", (seq,))
        target.execute("UPDATE requests SET actual = actual + 1 WHERE seq = ?", (seq + 1,))
        target.commit()
    assert summarise(copy).identity_violations == 2


def test_capacity_is_in_the_sums_as_a_negative_saving(filled, tmp_path):
    copy = str(tmp_path / "copy.db")
    with sqlite3.connect(filled[0]) as source, sqlite3.connect(copy) as target:
        source.backup(target)

    async def add():
        ledger = Ledger(LedgerOptions(path=copy), RealClock())
        hour = filled[1][0].wall + 1
        ledger.book(Entry(kind="capacity", wall=hour, technique="provisioned", actual=5_000, saved=-5_000))
        await ledger.aclose()

    asyncio.run(add())
    before, after = summarise(filled[0]), summarise(copy)
    assert after.actual == before.actual + 5_000
    assert after.by_technique["provisioned"] == -5_000
    [technique] = [each for each in after.techniques if each.name == "provisioned"]
    assert technique.alone == -5_000
    course = sum(part.actual for part in after.course)
    assert course == pytest.approx(after.actual, abs=len(after.course))
    assert after.baseline - after.saved - after.estimate_error == after.actual


def test_an_empty_ledger_has_a_report(tmp_path):
    path = str(tmp_path / "empty.db")
    fill(path, 0)
    empty = summarise(path)
    assert (empty.exchange_rows, empty.saved_share, empty.ttft.p95) == (0, 0.0, None)
    assert "no rows yet" in page(empty)
    assert CliRunner().invoke(report, ["--ledger", path]).exit_code == 0


def test_the_page_needs_nothing_from_elsewhere_and_says_the_totals(summary):
    text = page(summary)
    assert not re.search(r"(?:src|href)=|url\(|@import|<script", text)
    assert f"{summary.saved_share:.1%}" in text
    assert money(summary.actual) in text
    assert "prefers-color-scheme:dark" in text
    assert text.count("<svg") == text.count("</svg>") == 5
    for name in summary.by_technique:
        assert name in text or name == "serve"


def test_labels_cannot_break_the_page(tmp_path):
    path = tmp_path / "odd.db"
    rows = fill(path, 5)
    for row in rows:
        row.feature = "<script>alert(1)</script>"
        row.id += "x"

    async def add():
        ledger = Ledger(LedgerOptions(path=str(path)), RealClock())
        for row in rows:
            ledger.write(row)
        await ledger.aclose()

    asyncio.run(add())
    assert "<script" not in page(summarise(str(path)))


def test_the_command_prints_tables_json_and_a_page(filled, summary, tmp_path):
    runner = CliRunner()
    shown = runner.invoke(report, ["--ledger", filled[0]])
    assert shown.exit_code == 0
    assert "every row adds up" in shown.output
    assert money(summary.actual) in shown.output
    target = tmp_path / "report.html"
    done = runner.invoke(report, ["--ledger", filled[0], "--json", "--html", str(target)])
    plain = json.loads(done.output)
    assert plain["by_technique"]["exact"] == summary.by_technique["exact"]
    assert plain["actual"] == summary.actual
    assert target.read_text().startswith("<!doctype html>")
    # Leave-one-out beside the waterfall, and what evidence cost, in every form.
    known = {technique.name: technique for technique in summary.techniques}
    assert {each["name"]: each["alone"] for each in plain["techniques"]} == {n: t.alone for n, t in known.items()}
    assert money(-known["exact"].alone, sign=True) in shown.output
    assert money(known["exact"].alone) in target.read_text()
    [judging] = [each for each in summary.judging if each.technique == "evidence"]
    assert judging.cost > 0
    assert money(judging.cost) in shown.output
    assert money(judging.cost) in target.read_text()
    assert plain["judging"][0]["cost"] == judging.cost


def test_the_command_says_what_to_do_without_a_ledger(tmp_path):
    missing = CliRunner().invoke(report, ["--ledger", str(tmp_path / "no.db")])
    assert missing.exit_code == 1
    assert "there is no ledger at" in missing.output
    assert CliRunner().invoke(report, ["--ledger", "x", "--since", "soon"]).exit_code == 2


def test_spans_and_amounts_read_well():
    assert (span("24h"), span("90m"), span("1.5d")) == (86_400, 5_400, 129_600)
    assert [money(nano) for nano in (0, 1, 1_234_000, 10_500_000, -2_500_000_000, 315_000 * 10**9)] == [
        "$0", "$0.000000001", "$0.00123", "$0.0105", "−$2.50", "$315,000",
    ]  # fmt: skip
    assert [seconds(value) for value in (2e-6, 0.0042, 0.25, 1.5, 3.0, 42)] == [
        "2 µs", "4.2 ms", "250 ms", "1.50 s", "3 s", "42 s",
    ]  # fmt: skip
