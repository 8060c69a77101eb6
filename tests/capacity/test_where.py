"""Bedrock or own servers: a line for each reason, and what decides."""

import json

from click.testing import CliRunner

from hapenny.capacity.inference_servers import ASSUMED, ENGINES
from hapenny.capacity.planner import Wanted, plan
from hapenny.capacity.where import Needs, where
from hapenny.catalog import resolve
from hapenny.cli.main import main
from hapenny.simulation.workload.trace import Arrival

SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"
STEADY = [Arrival(0.25 * number, 500, 50) for number in range(2_400)]


def made(server_usd_per_h=None):
    return plan(STEADY, resolve(SONNET), Wanted(server_usd_per_h=server_usd_per_h))


def test_every_reason_has_a_line():
    advice = where(made())
    assert [each.topic for each in advice.reasons] == [
        "volume", "customisation", "special architecture", "pipelines", "operations",
    ]  # fmt: skip
    assert all(each.why for each in advice.reasons)
    assert advice.where == "bedrock"
    assert sum(each.leans == "not said" for each in advice.reasons) == 4


def test_what_only_own_servers_can_do_decides():
    advice = where(made(40.0), Needs(special_architecture=True, operations_usd_a_month=20_000))
    assert advice.where == "own servers"
    assert "special architecture" in advice.why


def test_the_cheaper_one_that_holds_is_taken_operations_and_all():
    cheap = made(0.5)
    assert where(cheap, Needs(operations_usd_a_month=0)).where == "own servers"
    assert where(cheap, Needs(operations_usd_a_month=50_000)).where == "bedrock"
    assert where(made(400.0)).where == "bedrock"
    volume = where(made(400.0)).reasons[0]
    assert volume.leans == "bedrock"
    assert "times this traffic" in volume.why


def test_pipelines_alone_do_not_decide():
    assert where(made(400.0), Needs(own_pipelines=True)).where == "bedrock"


def test_four_servers_stand_side_by_side_each_figure_with_its_source():
    assert [each.name for each in ENGINES] == ["vLLM", "TGI", "TensorRT-LLM", "Triton"]
    for engine in ENGINES:
        assert engine.strength
        for figure in (engine.throughput, engine.ttft, engine.p99, engine.start):
            assert figure.source == ASSUMED or figure.source.startswith("https://")
            assert figure.setting
            assert figure.value is None or figure.value > 0


def test_the_verb_says_where_and_why(tmp_path):
    trace = tmp_path / "t.csv"
    rows = "".join(f"{each.at},{each.input},{each.output}\n" for each in STEADY)
    trace.write_text("timestamp_s,input_tokens,output_tokens\n" + rows)
    arguments = ["plan", "--trace", str(trace), "--model", SONNET, "--own-weights", "--weights-gb", "140"]
    answer = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).output)
    assert answer["where"]["where"] == "own servers"
    assert len(answer["inference_servers"]) == 4
    assert answer["starts"][0]["limits"]["ModelDataDownloadTimeoutInSeconds"] == 3_600
    said = CliRunner().invoke(main, arguments).output
    assert "Where: own servers" in said
    assert "operations: bedrock" in said
    assert "TensorRT-LLM" in said
    assert "assumed" in said
