"""Lines of the Embedded Metric Format: as CloudWatch wants them, bounded, without money; the dashboard knows them."""

import json
import re
from pathlib import Path

import pytest

from hapenny.core.clock import RealClock
from hapenny.telemetry.emf import SERIES, UNITS, VALUES, Emf, EmfOptions
from hapenny.telemetry.rows import Row
from tests.console.pages import UNTIL, rows


class Clock(RealClock):
    """A clock that a test moves."""

    t = 0.0

    def now(self):
        return self.t

    def wall(self):
        return UNTIL + self.t


def written(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_a_minute_for_each_model_and_feature(tmp_path):
    clock, path = Clock(), tmp_path / "logs" / "emf.log"
    emf = Emf(EmfOptions(path=str(path), namespace="shop"), clock)
    made = [row for row in rows(800, UNTIL) if not row.background]
    for row in made:
        emf.observe(row)
    assert path.read_text() == ""
    clock.t = 61.0
    emf.observe(made[0])
    lines = written(path)
    assert sum(each["Requests"] for each in lines) == len(made) + 1
    assert len({(each["Model"], each["Feature"]) for each in lines}) == len(lines)
    assert sum(each["Failed"] for each in lines) == sum(row.outcome == "failed" for row in made)
    for each in lines:
        (directive,) = each["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "shop"
        assert each["_aws"]["Timestamp"] == int((UNTIL + 61) * 1000)
        assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}.items() <= UNITS.items()
        assert all(metric["Name"] in each for metric in directive["Metrics"])
        assert all(name in each for names in directive["Dimensions"] for name in names)
        assert all(len(each.get(name, ())) <= VALUES for name in ("TimeToFirstToken", "Latency"))
    assert not any(re.search("cost|usd|dollar|saved", name, re.IGNORECASE) for name in UNITS)
    assert path.stat().st_mode & 0o077 == 0
    emf.flush()
    assert len(written(path)) == len(lines)


def test_it_is_bounded_whatever_clients_send(tmp_path):
    path = tmp_path / "emf.log"
    emf = Emf(EmfOptions(path=str(path)), Clock())
    for number in range(SERIES + 50):
        emf.observe(Row(id="r", wall=UNTIL, tenant="t", feature=f"{number}" + "x" * 5_000, e2e=1.0))
    for _ in range(3 * VALUES):
        emf.observe(Row(id="r", wall=UNTIL, tenant="t", feature="0" + "x" * 5_000, ttft=0.5, e2e=1.0))
    emf.flush()
    lines = written(path)
    assert len(lines) == SERIES + 1
    assert max(map(len, path.read_text().splitlines())) < 10_000
    assert sum(each["Requests"] for each in lines) == SERIES + 50 + 3 * VALUES


def test_a_disk_that_takes_nothing_loses_metrics_and_nothing_else(tmp_path):
    emf = Emf(EmfOptions(path=str(tmp_path / "emf.log")), Clock())
    (tmp_path / "emf.log").unlink()
    (tmp_path / "emf.log").mkdir()
    emf.observe(Row(id="r", wall=UNTIL, tenant="t"))
    emf.flush()
    assert emf.failed == 1


@pytest.mark.parametrize(("options", "problem"), [({"every_s": 0}, "every_s"), ({"namespace": ""}, "namespace")])
def test_options_without_sense_are_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        EmfOptions(**options)


def test_the_dashboard_shows_metrics_that_are_written():
    dashboard = json.loads(Path("deploy/cloudwatch/dashboard.json").read_text())
    asked = [
        metric[0]["expression"] for widget in dashboard["widgets"] for metric in widget["properties"].get("metrics", ())
    ]
    assert len(asked) >= 8
    for expression in asked:
        namespace, label, name = re.fullmatch(
            r"SEARCH\('\{(\w+),(\w+)\} MetricName=\"(\w+)\"', '(?:Sum|p95)'\)", expression
        ).groups()
        assert namespace == EmfOptions().namespace
        assert label in ("Model", "Feature")
        assert name in UNITS
