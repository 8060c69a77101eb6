"""What a ledger says of the use of its places, through the books' own file and the command line."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from hapenny.capacity.utilisation import Limits, utilisation
from hapenny.cli.main import main
from hapenny.core.clock import RealClock
from hapenny.telemetry.ledger import Ledger, LedgerOptions
from hapenny.telemetry.rows import CallRow, Row

START = 1_799_971_200.0  # midnight UTC
DAYS = 8


def row(number, wall, output, *, model="m", seconds=4.0, failure=None, intent="orders"):
    made = CallRow(
        purpose="serve", technique="", model=model, backend="b", region="us-east-1", service_tier="standard",
        input=500, output=output, cache_read=200, cache_write=0, cache_write_1h=0, reasoning=0, cost=None,
        outcome="failed" if failure else "complete", provenance="reported", failure=failure, started=0.1, began=0.5,
        ended=0.1 + seconds, adopted=not failure,
    )  # fmt: skip
    return Row(
        id=f"r{number}", wall=wall, tenant="t", intent=intent, parts={"user": 700}, output_tokens=output,
        outcome="failed" if failure else "delivered", failure=failure, calls=(made,),
    )  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Eight days, ten calls a minute for two hours of each; answers grow by ten tokens a day."""
    file = tmp_path_factory.mktemp("books") / "ledger.db"
    rows = []
    for day in range(DAYS):
        for number in range(1_200):
            wall = START + day * 86_400 + 10 * 3_600 + number * 6.0
            intent = "orders" if number % 4 else "search"
            rows.append(row(len(rows), wall, 100 + 10 * day, intent=intent))
    rows.append(row(len(rows), rows[-1].wall + 1, 0, failure="rate_limited"))

    async def write():
        ledger = Ledger(LedgerOptions(path=str(file)), RealClock())
        await ledger.start()
        for each in rows:
            ledger.write(each)
        await ledger.aclose()

    asyncio.run(write())
    return str(file)


def test_use_is_counted_as_the_provider_counts(path):
    made = utilisation(path, lambda model, region, tier: Limits(tokens=20_000, requests=20), burndown=lambda m: 5.0)
    (place,) = made.places
    assert place.calls == DAYS * 1_200 + 1
    assert place.throttled == 1
    assert made.turned_away == 1
    assert place.tokens_a_minute.most == pytest.approx(10 * (500 + 5 * 170), rel=0.15)
    assert place.used_most == pytest.approx(place.tokens_a_minute.most / 20_000)
    assert place.waited_p95_s == pytest.approx(0.1)
    assert {each.name for each in made.by_intent} == {"orders", "search"}
    assert made.by_intent[0].share_of_tokens == pytest.approx(0.75, abs=0.01)
    assert [each.name for each in made.by_hour] == ["10", "11"]
    assert made.by_hour[0].prompt_p50 == 700


def test_the_quota_runs_out_by_the_trend_of_whole_days(path):
    limits = lambda model, region, tier: Limits(tokens=15_000)  # noqa: E731
    (place,) = utilisation(path, limits, burndown=lambda model: 5.0).places
    # 500 tokens a minute more each day; 13,500 on the last one
    assert place.outlook.slope_per_h == pytest.approx(500 / 24, rel=0.05)
    assert 2 * 86_400 <= place.outlook.runs_out_in_s <= 5 * 86_400
    assert "days" in place.outlook.stands_on
    (unknown,) = utilisation(path, lambda model, region, tier: Limits()).places
    assert unknown.outlook is None
    assert unknown.used_p95 is None


def test_littles_law_is_compared_with_what_a_gateway_counts(path):
    def little(seen):
        (place,) = utilisation(path, lambda *at: Limits(), seen={"m": seen}, recent_s=900).places
        return place.little

    books = little(0.66)
    assert books.expected == pytest.approx(books.calls_per_s * books.seconds_a_call)
    assert books.expected == pytest.approx(4 / 6, rel=0.1)
    assert books.agrees is True
    assert little(3.0).agrees is False


def test_only_the_last_hours(path):
    (place,) = utilisation(path, lambda *at: Limits(), hours=1.0).places
    assert 590 <= place.calls <= 602


def test_the_verb(path, tmp_path):
    arguments = ["capacity", "--ledger", path, "--quota", "m=15000/20"]
    shown = CliRunner().invoke(main, [*arguments, "--json"])
    assert shown.exit_code == 0, shown.output
    made = json.loads(shown.output)
    assert made["places"][0]["limits"]["requests"] == 20
    assert made["places"][0]["outlook"]["stands_on"]
    assert made["gateway"] == []
    said = CliRunner().invoke(main, arguments).output
    assert "Stands on:" in said
    assert "in flight by the books" in said
    config = tmp_path / "c.yaml"
    config.write_text(
        f"ledger: {{path: {path}}}\n"
        "stages: {throughput: {models: {m: {quota: {tokens_per_minute: 15000}}}}}\n"
    )
    shown = CliRunner().invoke(main, ["capacity", "-c", str(config), "--json"])
    assert json.loads(shown.output)["places"][0]["limits"]["tokens"] == 15_000


def test_a_quota_that_is_none_and_a_ledger_that_is_none_are_refused(path, tmp_path):
    assert CliRunner().invoke(main, ["capacity", "--ledger", path, "--quota", "m=much"]).exit_code == 2
    missing = CliRunner().invoke(main, ["capacity", "--ledger", str(tmp_path / "no.db")])
    assert missing.exit_code == 1
    assert "Traceback" not in missing.output
