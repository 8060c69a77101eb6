"""`hapenny autoscale` and `hapenny whatif` on a trace, from the command line."""

import json
import sqlite3

import pytest
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


HEAD = "timestamp_s,input_tokens,output_tokens\n"


@pytest.mark.parametrize(
    ("rows", "arguments", "named"),
    [
        ("0,500,80\n", [], "all requests come at one time"),
        ("5,500,80\n5,100,20\n", [], "all requests come at one time"),
        ("0,500,80\n9,100,20\n", ["--tpm", "nan"], "--tpm"),
        ("0,500,80\n9,100,20\n", ["--growth", "1e308"], "--growth"),
        ("0,500,80\n9,100,20\n", ["--max-tokens", "99999999999999999999"], "--max-tokens"),
        ("0,500,80\n9,99999999999,20\n", [], "input_tokens"),
    ],
)
def test_plan_refuses_in_words_what_it_cannot_plan_for(tmp_path, rows, arguments, named):
    path = tmp_path / "odd.csv"
    path.write_text(HEAD + rows)
    shown = CliRunner().invoke(main, ["plan", "--trace", str(path), "--model", "claude-sonnet-4-5", *arguments])
    assert shown.exit_code in (1, 2)
    assert isinstance(shown.exception, SystemExit)
    assert named in shown.output


def test_two_requests_are_enough_for_a_plan(tmp_path):
    path = tmp_path / "two.csv"
    path.write_text(HEAD + "0,500,80\n600,100,20\n")
    shown = CliRunner().invoke(main, ["plan", "--trace", str(path), "--model", "claude-sonnet-4-5", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.output)["requests"] == 2


def test_autoscale_refuses_numbers_that_are_none_and_bounds_that_cross(tmp_path):
    base = ["autoscale", "--dry-run", "--trace", trace(tmp_path)]
    assert "no number" in CliRunner().invoke(main, [*base, "--tokens-per-s", "nan"]).output
    crossed = CliRunner().invoke(main, [*base, "--tokens-per-s", "250", "--least", "5", "--most", "2"])
    assert crossed.exit_code == 2
    assert "--least 5" in crossed.output


def test_whatif_refuses_a_database_that_is_no_ledger(tmp_path):
    path, config = tmp_path / "other.db", tmp_path / "new.yaml"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (a)")
    connection.commit()
    connection.close()
    config.write_text("ledger: null\n")
    shown = CliRunner().invoke(main, ["whatif", "--log", str(path), "-c", str(config)])
    assert isinstance(shown.exception, SystemExit)
    assert "no ledger" in shown.output


@pytest.mark.parametrize(
    ("model", "asks"),
    [
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", '"ServiceCode": "bedrock"'),
        ("claude-sonnet-4-5", "Ask anthropic for:"),
    ],
)
def test_an_increase_is_asked_of_who_serves_the_model(tmp_path, model, asks):
    arguments = ["plan", "--trace", trace(tmp_path), "--model", model, "--tpm", "1000"]
    assert asks in CliRunner().invoke(main, arguments).output
    sent = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).output)["requests_to_send"]
    assert bool(sent) == model.startswith("anthropic.")
