"""`hapenny keys`, `pause` and `resume`: what an operator types, and what is on the disk afterwards."""

import json
import stat

import pytest
from click.testing import CliRunner

from hapenny.cli.main import main


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "hapenny.yaml"
    path.write_text(
        f'backends: {{simulated: {{kind: simulated}}}}\nledger: {{path: "{tmp_path / "data" / "ledger.db"}"}}\n'
        "admission: {sealing_key: a-secret}\n"
    )
    return path


def run(*words, ok=True, env=None):
    result = CliRunner().invoke(main, [str(word) for word in words], env=env)
    assert (result.exit_code == 0) == ok, result.output
    return result.output


def test_a_key_is_made_listed_rotated_and_revoked(config):
    shown = run(
        "keys", "create", "-c", config, "--tenant", "acme", "--budget", "$5/day", "--expires", "90d", "--rpm", 9
    )
    assert "every request to this gateway needs one" in shown
    id = next(line.split()[1] for line in shown.splitlines() if line.startswith("id:"))
    key = next(line.split()[1] for line in shown.splitlines() if line.startswith("key:"))
    listed = run("keys", "list", "-c", config)
    assert id in listed
    assert "$5/day" in listed
    assert key not in listed
    assert json.loads(run("keys", "show", "-c", config, id))["requests_per_minute"] == 9
    assert json.loads(run("keys", "rotate", "-c", config, id, "--overlap", "24h", "--json"))["key"] != key
    run("keys", "revoke", "-c", config, id)
    assert json.loads(run("keys", "list", "-c", config, "--json"))[0]["state"] == "revoked"
    assert "revoke key" in run("keys", "log", "-c", config)
    run("keys", "rotate", "-c", config, id, ok=False)
    run("keys", "revoke", "-c", config, "key_unknown", ok=False)


def test_a_key_in_use_moves_here_without_being_shown(config):
    shown = run("keys", "create", "-c", config, "--secret-env", "OLD", env={"OLD": "sk-in-use-since-ages"})
    assert "sk-in-use" not in shown
    assert "already" in run(
        "keys", "create", "-c", config, "--secret-env", "OLD", ok=False, env={"OLD": "sk-in-use-since-ages"}
    )


@pytest.mark.parametrize("budget", ["5/day", "$x/day", "$5", "$5/century", "tokens/day", "$0/day", "1.5tokens/day"])
def test_what_is_no_budget_is_refused(config, budget):
    assert "--budget" in run("keys", "create", "-c", config, "--budget", budget, ok=False)


def test_names_that_people_chose_do_not_reach_the_terminal_as_commands(config):
    run("keys", "create", "-c", config, "--name", "x\x1b]0;owned\x07\x1b[2J", "--tenant", "t\x1b[31m")
    assert "\x1b" not in run("keys", "list", "-c", config) + run("keys", "log", "-c", config)


def test_what_is_kept_is_for_this_user_alone(config, tmp_path):
    run("keys", "create", "-c", config)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").rglob("*")}
    assert modes
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_the_switch_is_thrown_without_a_running_gateway(config):
    assert "paused" in run("pause", "-c", config, "--reason", "an incident")
    assert "resumed" in run("resume", "-c", config)
    log = run("keys", "log", "-c", config)
    assert "an incident" in log


def test_without_a_place_to_keep_them_it_says_what_to_do(tmp_path):
    path = tmp_path / "h.yaml"
    path.write_text("ledger: null\nbackends: {simulated: {kind: simulated}}\n")
    assert "admission.store" in run("keys", "list", "-c", path, ok=False)
