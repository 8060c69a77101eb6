"""`hapenny autoscale` and `hapenny whatif` on a trace, from the command line."""

import json

from click.testing import CliRunner

from hapenny.cli.main import main


def trace(tmp_path):
    path = tmp_path / "day.csv"
    rows = "".join(f"{number},{500},{100}\n" for number in range(1_200))
    path.write_text("timestamp_s,input_tokens,output_tokens\n" + rows)
    return str(path)


def test_autoscale_says_what_it_would_do_and_writes_documents(tmp_path):
    arguments = ["autoscale", "--dry-run", "--trace", trace(tmp_path), "--tokens-per-s", "250", "--ecs", "c/s"]
    shown = CliRunner().invoke(main, [*arguments, "--json"])
    assert shown.exit_code == 0, shown.output
    answer = json.loads(shown.output)
    assert answer["course"][-1]["servers"] >= 4
    assert answer["documents"]["ecs"][0][0] == "RegisterScalableTarget"
    assert "servers" in CliRunner().invoke(main, arguments).output


def test_autoscale_wants_one_log_and_an_address_for_keda(tmp_path):
    base = ["autoscale", "--dry-run", "--tokens-per-s", "250"]
    assert CliRunner().invoke(main, base).exit_code == 2
    assert CliRunner().invoke(main, [*base, "--trace", trace(tmp_path), "--keda", "vllm"]).exit_code == 2


def test_whatif_stands_configurations_side_by_side(tmp_path):
    config = tmp_path / "new.yaml"
    config.write_text("ledger: null\nroutes: {default: {preset: safe, holdout: 0}}\n")
    arguments = ["whatif", "--log", trace(tmp_path), "-c", str(config)]
    shown = CliRunner().invoke(main, [*arguments, "--json"])
    assert shown.exit_code == 0, shown.output
    (figures,) = json.loads(shown.output).values()
    assert figures["requests"] == 1_200
    assert figures["saved_share"]["low"] <= figures["saved_share"]["high"]
    assert "first token" in CliRunner().invoke(main, arguments).output
