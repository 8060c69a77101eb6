"""The ledger against CloudWatch and Cost Explorer, by answers in the shapes of botocore's service models."""

from datetime import UTC, datetime

import pytest

from hapenny.cli.reconcile import compare
from hapenny.telemetry import reconciling, schema
from hapenny.telemetry.ledger_file import LedgerFile
from hapenny.telemetry.rows import CallRow, Row

boto3 = pytest.importorskip("boto3", reason="not run: the aws extra is not installed")
WALL = 1_796_000_000.0
SINCE, UNTIL = reconciling.window(WALL, 2)
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
DAYS = {"Start": "2026-11-28", "End": "2026-11-30"}


@pytest.fixture
def ledger(tmp_path):
    path = str(tmp_path / "l.db")
    file = LedgerFile(path)

    def row(number, wall, tenant, backend="bedrock"):
        call = CallRow("serve", "serve", f"us.{MODEL}", backend, "us-east-1", "standard", 1_000, 100, 50, 0, 0, 0,
                       10_000_000, "complete", "reported", None, 0.0, 0.1, 0.2, True)  # fmt: skip
        return Row(id=f"r{number}", wall=wall, tenant=tenant, baseline=10_000_000, actual=10_000_000, calls=(call,))

    file.insert([
        *(row(number, SINCE + 60 * number, "shop") for number in range(30)),
        *(row(100 + number, SINCE + 60 * number, "lab") for number in range(10)),
        row(900, UNTIL + 5, "shop"), row(901, SINCE - 5, "shop"), row(902, SINCE + 5, "shop", "elsewhere"),
    ])  # fmt: skip
    file.close()
    return path


def clients(input_tokens, bill, tag=""):
    from botocore.stub import Stubber

    cloudwatch = boto3.client("cloudwatch", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    explorer = boto3.client("ce", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    watched, explored = Stubber(cloudwatch), Stubber(explorer)
    plain = [{"Name": "ModelId", "Value": f"us.{MODEL}"}]
    dear = [{"Name": "ModelId", "Value": f"us.{MODEL}+priority"}]
    for metric in reconciling.METRICS:
        found = [{"Namespace": "AWS/Bedrock", "MetricName": metric, "Dimensions": each} for each in (plain, dear)]
        found.append({"Namespace": "AWS/Bedrock", "MetricName": metric, "Dimensions": []})
        watched.add_response(
            "list_metrics", {"Metrics": found if metric != "CacheWriteInputTokens" else []},
            {"Namespace": "AWS/Bedrock", "MetricName": metric},
        )  # fmt: skip
    values = {
        "m0": [input_tokens - 1_000.0],
        "m1": [400.0, 600.0],
        "m2": [4_000.0],
        "m3": [],
        "m4": [2_000.0],
        "m5": [],
    }
    watched.add_response(
        "get_metric_data", {"MetricDataResults": [{"Id": f"m{n}", "Values": values.get(f"m{n}", [])} for n in range(6)]}
    )
    explored.add_response(
        "get_dimension_values",
        {"DimensionValues": [{"Value": "Amazon Bedrock"}, {"Value": "Claude Haiku (Amazon Bedrock Edition)"},
                             {"Value": "Amazon S3"}], "ReturnSize": 3, "TotalSize": 3},
        {"TimePeriod": DAYS, "Dimension": "SERVICE"},
    )  # fmt: skip
    groups = {f"{tag}$shop": bill * 0.75, f"{tag}$lab": bill * 0.25} if tag else {"Amazon Bedrock": bill}
    explored.add_response("get_cost_and_usage", {"ResultsByTime": [{"Groups": [
        {"Keys": [name], "Metrics": {"UnblendedCost": {"Amount": str(usd), "Unit": "USD"}}}
        for name, usd in groups.items()
    ]}]}, {
        "TimePeriod": DAYS, "Granularity": "DAILY", "Metrics": ["UnblendedCost"],
        "Filter": {"Dimensions": {
            "Key": "SERVICE", "Values": ["Amazon Bedrock", "Claude Haiku (Amazon Bedrock Edition)"]
        }},
        "GroupBy": [{"Type": "TAG", "Key": tag} if tag else {"Type": "DIMENSION", "Key": "SERVICE"}],
    })  # fmt: skip
    watched.activate()
    explored.activate()
    return cloudwatch, explorer


def test_whole_days_of_bedrock_agree_with_both_books(ledger):
    connection = schema.open_ledger(ledger)
    found = {each.what: each for each in compare(connection, ["bedrock"], WALL, 2, "", *clients(40_000, 0.4))}
    assert datetime.fromtimestamp(SINCE, UTC).isoformat().startswith("2026-11-28T00:00")
    assert len(found) == 4
    assert all(each.agrees and each.apart < 1e-9 for each in found.values())
    assert found["the bill"].ours == pytest.approx(0.4)
    (model,) = {what.partition(":")[0] for what in found if what != "the bill"}
    assert model != f"us.{MODEL}"
    connection.close()


def test_what_is_apart_is_told_and_kept_for_the_console(ledger):
    connection = schema.open_ledger(ledger)
    found = compare(connection, ["bedrock"], WALL, 2, "", *clients(80_000, 0.8))
    apart = {each.what.rpartition(": ")[2]: each for each in found if not each.agrees}
    assert set(apart) == {"the bill", "input"}
    assert apart["input"].apart == 0.5
    entries = reconciling.entries(found, SINCE, UNTIL, WALL)
    assert entries[0].detail["period"] == "28 Nov – 29 Nov 2026"
    assert (entries[0].detail["ours"], entries[0].detail["theirs"], entries[0].detail["agrees"]) == (
        "$0.4000",
        "$0.8000",
        0,
    )
    assert all((each.kind, each.actual, each.saved) == ("invoice", 0, 0) for each in entries)
    connection.close()


def test_tags_of_inference_profiles_are_compared_by_tenant(ledger):
    connection = schema.open_ledger(ledger)
    found = {
        each.what: each for each in compare(connection, ["bedrock"], WALL, 2, "tenant", *clients(40_000, 0.4, "tenant"))
    }
    assert found["tenant shop"].ours == pytest.approx(0.3)
    assert found["tenant shop"].theirs == pytest.approx(0.3)
    assert found["tenant lab"].agrees
    connection.close()
