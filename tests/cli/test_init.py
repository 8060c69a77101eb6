"""A first configuration that is complete, and other gateways' files as ours."""

import itertools
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from hapenny.cli.main import main
from hapenny.config import STAGES, load
from hapenny.config.starter import CLIENTS, PROVIDERS, RUNS
from hapenny.config.strategy import STRATEGIES
from hapenny.gateway.gateway import Gateway
from hapenny.routing.options import CASCADE_STAGE

SECRETS = {"HAPENNY_KEY": "k" * 20, "HAPENNY_FINGERPRINT": "f" * 20, "OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments, **rest: CliRunner().invoke(main, ["init", *map(str, arguments)], **rest)


@pytest.mark.parametrize(("provider", "client", "runs"), itertools.product(PROVIDERS, CLIENTS, RUNS))
def test_every_answer_makes_a_file_that_loads(run, provider, client, runs):
    done = run("--provider", provider, "--client", client, "--run", runs, "--region", "eu-west-1")
    assert done.exit_code == 0, done.output
    config = load("hapenny.yaml")
    assert set(config.tiers) == {"fast", "strong"}
    assert config.fallbacks == {"strong": ["fast"]}
    assert bool(config.keys[0].sigv4_access_key) is (client == "boto3")
    if provider == "bedrock":
        assert config.tiers["fast"].startswith("eu.")


def test_what_its_comments_offer_is_valid_too(run):
    for runs in RUNS:
        run("--provider", "openai", "--client", "openai", "--run", runs, "--force")
        text = Path("hapenny.yaml").read_text()
        route = text[text.index("routes:") : text.index("keys:")]
        offered = [line for line in route.splitlines() if line.strip().startswith("# ") and line.rstrip()[-1] in "}e"]
        for line in offered:
            if ":" in line and " " not in line.strip("# ").split(":")[0]:
                load(text=text.replace(line, line.replace("# ", "", 1)))


def test_three_questions_are_asked_where_nothing_is_said(run):
    done = run(input="anthropic\nclaude-code\nagent\n")
    assert done.exit_code == 0, done.output
    assert done.output.count("?") >= 3
    assert "ANTHROPIC_BASE_URL" in Path("hapenny.yaml").read_text()


def test_nothing_is_written_over(run):
    assert run("--provider", "openai", "--client", "openai", "--run", "chat").exit_code == 0
    again = run("--provider", "openai", "--client", "openai", "--run", "chat")
    assert again.exit_code == 1
    assert "Fix: --force" in again.output


LITELLM = """
model_list:
  - model_name: claude
    litellm_params: {model: bedrock/eu.anthropic.claude-sonnet-4-6, aws_region_name: eu-west-1, rpm: 100}
  - model_name: claude
    litellm_params: {model: bedrock/eu.anthropic.claude-sonnet-4-6, aws_region_name: eu-central-1}
  - model_name: gpt
    litellm_params: {model: openai/gpt-4.1, api_key: os.environ/OPENAI_API_KEY, temperature: 0.2, weight: 2}
  - model_name: far
    litellm_params: {model: vertex_ai/gemini-9, vertex_project: x}
litellm_settings: {fallbacks: [{claude: [gpt]}], drop_params: true, num_retries: 3}
router_settings: {context_window_fallbacks: [{claude: [gpt, far]}], model_group_alias: {best: claude}}
general_settings: {master_key: os.environ/HAPENNY_KEY, database_url: postgres://x}
"""


def test_a_litellm_file_becomes_one_of_ours_with_a_report(run, tmp_path):
    (tmp_path / "config.yaml").write_text(LITELLM)
    done = run("--from-litellm", "config.yaml")
    assert done.exit_code == 0, done.output
    config = load("hapenny.yaml")
    assert config.models["gpt"].parameters.temperature == 0.2
    assert config.backends["openai"].api_key == "a"
    assert config.backends["bedrock"].region == "eu-west-1"
    assert config.fallbacks == {"claude": ["gpt"]}
    assert config.aliases == {"best": "claude"}
    assert config.keys[0].key == SECRETS["HAPENNY_KEY"]
    throughput = next(config.stages[spec] for spec in STAGES if spec.name == "throughput")
    assert throughput.models["eu.anthropic.claude-sonnet-4-6"].quota.requests_per_minute == 100
    for what in ("vertex_ai", "second deployment of 'claude'", "weight", "drop_params", "num_retries", "database_url"):
        assert what in done.output
        assert what in Path("hapenny.yaml").read_text()


def test_portkey_and_bifrost_files(run, tmp_path):
    portkey = {
        "strategy": {"mode": "fallback"},
        "targets": [
            {"provider": "openai", "api_key": "x", "override_params": {"model": "gpt-4.1"}},
            {"provider": "anthropic", "api_key": "y", "override_params": {"model": "claude-sonnet-4-6"}},
        ],
        "cache": {"mode": "simple"},
    }
    (tmp_path / "portkey.json").write_text(yaml.safe_dump(portkey))
    done = run("--from-portkey", "portkey.json")
    assert load("hapenny.yaml").fallbacks == {"target1": ["target2"]}
    assert "not carried over: cache" in done.output
    bifrost = {"providers": {"openai": {"keys": [{"value": "env.OPENAI_API_KEY", "models": ["gpt-4.1"]}]}}}
    (tmp_path / "bifrost.json").write_text(yaml.safe_dump(bifrost))
    assert run("--from-bifrost", "bifrost.json", "--force").exit_code == 0
    assert load("hapenny.yaml").backends["openai"].api_key == "a"


@pytest.mark.parametrize("text", ["", "[]", "model_list: []", "{", "model_list: 7"])
def test_what_is_no_such_file_is_told(run, tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    done = run("--from-litellm", "x.yaml")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert not (tmp_path / "hapenny.yaml").exists()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-northeast-1"])
def test_every_strategy_loads_and_can_be_built(run, strategy, region):
    done = run("--preset", strategy, "--region", region)
    assert done.exit_code == 0, done.output
    config = load("hapenny.yaml")
    Gateway(config)  # names, tiers, models and stages fit
    assert config.routes["default"].baseline == "strong"
    assert "hapenny doctor" in done.output
    text = Path("hapenny.yaml").read_text()
    assert f"--preset {strategy}" in text
    assert "@" not in text
    for line in text.splitlines():
        assert len(line) <= 120


def test_strategies_differ_in_what_they_are_for(run):
    made = {}
    for strategy in STRATEGIES:
        run("--preset", strategy, "--force")
        made[strategy] = load("hapenny.yaml")
    assert made["realtime"].fallbacks["strong"] == ["fast"]
    assert made["documents"].batch is not None
    assert made["documents"].routes["extract"].mode(CASCADE_STAGE) == "on"
    assert {model.hourly_usd for model in made["own-fleet"].models.values()} == {4.0, 2.0, 1.0}
    assert {options.kind for options in made["bedrock"].backends.values()} == {"bedrock"}
    assert made["hybrid"].fallbacks["fast"] == ["balanced"]
