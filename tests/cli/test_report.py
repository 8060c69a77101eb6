"""`hapenny report`: readable at 80 columns and piped, with background work in every table and techniques in words."""

import json

import pytest
from click.testing import CliRunner

from hapenny.cli.main import main
from tests.console.pages import made


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "ledger.db"
    return str(path), made(path, 1_200, days=2)


def test_it_fits_80_columns_and_shows_background_work(ledger, tmp_path):
    path, rows = ledger
    page = tmp_path / "report.html"
    done = CliRunner().invoke(main, ["report", "--ledger", path, "--html", str(page)], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert max(len(line) for line in lines if str(page) not in line) <= 80
    assert "\x1b" not in done.output
    background = [row for row in rows if row.background]
    assert f"background work: {len(background):,} rows for $" in done.output
    assert sum("background" in line and "without" in line for line in lines) == 3  # tenant, feature, model
    assert "tiers: a cheaper model where it does as well" in done.output
    text = page.read_text()
    assert "<h2>By tenant</h2>" in text
    assert "<small>a cheaper model where it does as well</small>" in text
    assert "<th>background</th>" in text


def test_filters_that_nothing_fits_are_said(ledger):
    path, _ = ledger
    told = CliRunner().invoke(main, ["report", "--ledger", path, "--tenant", "nobody", "--since", "7d"]).output
    assert "No request of this ledger fits --since 7d --tenant nobody." in told
    assert "No request" not in CliRunner().invoke(main, ["report", "--ledger", path]).output


def test_background_work_stands_under_its_label(ledger):
    path, rows = ledger
    told = json.loads(CliRunner().invoke(main, ["report", "--ledger", path, "--json"]).output)
    for label, field in (("tenants", "tenant"), ("features", "feature")):
        for group in told[label]:
            name = "" if group["name"] == "(none)" else group["name"]
            paid = sum(row.actual for row in rows if row.background and getattr(row, field) == name)
            assert group["background"] == paid
    assert told["background_cost"] == sum(row.actual for row in rows if row.background)


def test_filters_by_model_and_key_narrow_it(ledger):
    from hapenny.telemetry.summary import Scope, summarise

    path, rows = ledger
    key = rows[0].key_id
    mine = [row for row in rows if row.key_id == key and not row.background]
    assert summarise(path, Scope(key=key)).exchange_rows == len(mine)
    assert summarise(path, Scope(model="(cache)")).exchange_rows == sum(row.cache_hit for row in rows)


def test_played_models_are_said(ledger, tmp_path):
    path, _ = ledger
    config = tmp_path / "hapenny.yaml"
    config.write_text(f"backends: {{stage: {{kind: simulated}}}}\nledger: {{path: {path}}}\n")
    done = CliRunner().invoke(main, ["report", "-c", str(config)])
    assert "Simulated: the models of stage are played by hapenny." in done.output
    told = json.loads(CliRunner().invoke(main, ["report", "-c", str(config), "--json"]).output)
    assert told["simulated"] == ["stage"]
    config.write_text(f"backends: {{real: {{kind: bedrock, region: us-east-1}}}}\nledger: {{path: {path}}}\n")
    assert "Simulated" not in CliRunner().invoke(main, ["report", "-c", str(config)]).output
