"""`hapenny ledger export`: nothing is lost on the way to a spreadsheet or a warehouse; nothing becomes a formula."""

import csv
import io
from collections import Counter

import pytest
from click.testing import CliRunner

from hapenny.cli.main import main
from hapenny.telemetry.export import FOCUS, REQUEST
from hapenny.telemetry.ledger_file import LedgerFile
from hapenny.telemetry.rows import Row
from tests.console.pages import UNTIL, made


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "ledger.db"
    rows = made(path, 600, days=3)
    return str(path), rows


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def run(*arguments):
    done = CliRunner().invoke(main, ["ledger", "export", *arguments])
    assert done.exit_code == 0, done.output
    return done


def test_focus_rows_add_up_to_what_was_paid_and_saved(ledger, tmp_path):
    path, rows = ledger
    out = tmp_path / "focus.csv"
    run("--ledger", path, "--out", str(out))
    charges = read(out.read_text())
    assert tuple(charges[0]) == FOCUS
    paid = sum(row.actual or 0 for row in rows) + 10**9  # and an hour of capacity
    assert sum(float(each["BilledCost"]) for each in charges) == pytest.approx(paid / 1e9, abs=1e-6)
    assert sum(float(each["ListCost"]) for each in charges) == pytest.approx(
        sum(row.baseline or 0 for row in rows) / 1e9
    )
    by_tenant = Counter()
    for each in charges:
        by_tenant[each["SubAccountId"]] += float(each["BilledCost"])
    for tenant in {row.tenant for row in rows}:
        assert by_tenant[tenant] == pytest.approx(sum(row.actual or 0 for row in rows if row.tenant == tenant) / 1e9)
    assert {each["BillingCurrency"] for each in charges} == {"USD"}
    assert all(each["ChargePeriodStart"] < each["ChargePeriodEnd"] for each in charges)
    assert any(each["ProviderName"] == "bedrock" and each["ConsumedUnit"] == "Tokens" for each in charges)
    assert any(each["ResourceId"] == "cache exact" and float(each["BilledCost"]) == 0 for each in charges)


def test_a_row_a_request_to_standard_output(ledger):
    path, rows = ledger
    done = run("--ledger", path, "--shape", "requests", "--tenant", "tenant-01")
    lines = read(done.stdout)
    mine = [row for row in rows if row.tenant == "tenant-01"]
    assert tuple(lines[0]) == REQUEST
    assert [each["id"] for each in lines] == [row.id for row in mine]
    for each, row in zip(lines, mine, strict=True):
        assert float(each["paid_usd"] or 0) == pytest.approx((row.actual or 0) / 1e9, abs=1e-9)
    assert f"{len(mine):,} rows" in done.stderr


def test_parquet_holds_the_same(ledger, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="not run: the parquet extra is not installed")
    path, rows = ledger
    out = tmp_path / "requests.parquet"
    run("--ledger", path, "--shape", "requests", "--out", str(out))
    table = parquet.read_table(out)
    assert table.num_rows == len(rows)
    assert sum(value or 0 for value in table["paid_usd"].to_pylist()) == pytest.approx(
        sum(row.actual or 0 for row in rows) / 1e9
    )
    assert str(table.schema.field("cache_hit").type) == "bool"


def test_names_are_no_formulas_and_mistakes_are_told(tmp_path):
    path = str(tmp_path / "l.db")
    file = LedgerFile(path)
    file.insert([Row(id="=cmd()", wall=UNTIL, tenant='=HYPERLINK("x")', feature="@sum\x1b[31m")])
    file.close()
    (line,) = read(run("--ledger", path, "--shape", "requests").stdout)
    assert line["id"] == "'=cmd()"
    assert line["tenant"].startswith("'=")
    assert "\x1b" not in line["feature"]
    failed = CliRunner().invoke(main, ["ledger", "export", "--ledger", str(tmp_path / "none.db")])
    assert (failed.exit_code, "serve first" in failed.output) == (1, True)
    failed = CliRunner().invoke(main, ["ledger", "export", "--ledger", path, "--format", "parquet"])
    assert (failed.exit_code, "--out ledger.parquet" in failed.output) == (2, True)
