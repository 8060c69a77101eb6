"""What operators deploy says what the gateway really has: its metrics, its options, the provider's actions."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import aiohttp
import pytest
import yaml

from hapenny.config import load
from tests.server.house import Scripted, running

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = re.compile(r"\bhapenny_[a-z_]+")
SERIES = ("_total", "_bucket", "_count", "_sum")


def expressions():
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in json.loads((DEPLOY / "grafana" / "hapenny.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.fixture(scope="module")
def exposed():
    """Every series of a gateway that has answered a request."""
    import asyncio

    async def main():
        text = "ledger: {path: ':memory:'}\nbackends: {up: {kind: openai, base_url: 'http://127.0.0.1:9'}}\n"
        text += "tiers: {fast: gpt-4o-mini, strong: gpt-4o}\nroutes: {default: {stages: {latency: on}}}"
        async with running(load(text=text), {"up": Scripted()}) as (url, _), aiohttp.ClientSession() as session:
            body = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                assert answer.status == 200
            async with session.get(url + "/metrics") as answer:
                return await answer.text()

    return asyncio.run(main())


@pytest.mark.parametrize(("where", "expression"), sorted(set(expressions())))
def test_every_alert_and_panel_asks_for_series_that_there_are(where, expression, exposed):
    families = set(re.findall(r"^# TYPE (\S+)", exposed, re.MULTILINE))
    for name in NAME.findall(expression):
        bare = next((name.removesuffix(end) for end in SERIES if name.endswith(end) and name not in families), name)
        assert {name, bare} & families, f"{where}: {name}"
    for edge in re.findall(r'le="([^"]+)"', expression):
        assert f'le="{edge}"' in exposed, f"{where}: there is no bucket {edge}"


def test_alerts_wake_somebody_when_they_should(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool (package prometheus)")
    cases = (Path(__file__).parent / "alerts.yaml").read_text().replace("RULES", str(DEPLOY / "prometheus/rules.yaml"))
    (tmp_path / "alerts.yaml").write_text(cases)
    done = subprocess.run([promtool, "test", "rules", tmp_path / "alerts.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_charts_own_configuration_is_one():
    values = yaml.safe_load((DEPLOY / "helm" / "hapenny" / "values.yaml").read_text())
    config = load(text=json.dumps(values["config"]))
    assert values["terminationGracePeriodSeconds"] > config.server.drain_s + 5
    assert config.server.port == values["service"]["port"]


def test_the_unit_gives_streams_their_time():
    unit = (DEPLOY / "systemd" / "hapenny.service").read_text()
    assert int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]) > load(text="ledger: null").server.drain_s
    assert "ExecStart=/opt/hapenny/bin/hapenny serve" in unit


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="not run: no systemd-analyze here")
def test_systemd_takes_the_unit(tmp_path):
    unit = (
        (DEPLOY / "systemd" / "hapenny.service").read_text().replace("/opt/hapenny/bin/hapenny", shutil.which("true"))
    )
    (tmp_path / "hapenny.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "hapenny.service")], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_policy_names_actions_that_aws_has():
    botocore = pytest.importorskip("botocore.session")
    session = botocore.get_session()
    known = set()
    for prefix, service in (
        ("bedrock", "bedrock"),
        ("bedrock", "bedrock-runtime"),
        ("bedrock", "bedrock-agent-runtime"),
        ("servicequotas", "service-quotas"),
    ):
        known |= {f"{prefix}:{name}" for name in session.get_service_model(service).operation_names}
    known |= {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}
    policy = json.loads((DEPLOY / "iam" / "policy.json").read_text())
    for statement in policy["Statement"]:
        assert set(statement["Action"]) <= known
        assert statement["Resource"] != "*" or all(
            action.split(":")[1].startswith(("Get", "List")) for action in statement["Action"]
        )


def test_two_gateways_of_the_composition_act_as_one(monkeypatch):
    root = DEPLOY.parent
    compose = yaml.safe_load((root / "compose.shared.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"hapenny", "valkey", "postgres", "prometheus", "grafana"}
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.rpartition(":/")[0] if volume.startswith("$") else volume.split(":")[0]
            place = re.sub(r"\$\{[^:}]+:-([^}]+)\}", r"\1", source)
            assert place in compose["volumes"] or (root / place).exists(), volume
    for name in ("HAPENNY_FINGERPRINT", "VALKEY_PASSWORD", "POSTGRES_PASSWORD"):
        monkeypatch.setenv(name, "a-long-random-word")
    config = load(str(DEPLOY / "container" / "shared.yaml"))
    assert config.shared == config.counter_store() == "redis://:a-long-random-word@valkey:6379/0"
    assert config.budget_store().startswith("postgresql://")
    assert "[redis,postgres]" in services["hapenny"]["build"]["args"]["EXTRAS"]
    # What is spent must not be thrown out for want of memory.
    assert "volatile-lru" in services["valkey"]["command"][2]
    assert "--appendonly yes" in services["valkey"]["command"][2]


def test_prometheus_and_grafana_of_the_composition_find_what_they_read():
    provisioning = DEPLOY / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "hapenny.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "shared.yaml").read_text())["scrape_configs"][0]
    assert scrape["dns_sd_configs"][0]["names"] == ["hapenny"]


def test_the_lambda_handler_answers_and_turns_strangers_away(monkeypatch, tmp_path):
    import importlib.util

    config = tmp_path / "hapenny.yaml"
    config.write_text("ledger: null\nbackends: {simulated: {kind: simulated}}\n")
    monkeypatch.setenv("HAPENNY_CONFIG", str(config))
    monkeypatch.setenv("HAPENNY_KEY", "a key of ours")
    spec = importlib.util.spec_from_file_location("handler", DEPLOY / "lambda" / "handler.py")
    handler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(handler)
    body = {"model": "fast", "messages": [{"role": "user", "content": "When do you open?"}]}
    event = {"headers": {"Authorization": "Bearer a key of ours"}, "body": json.dumps(body)}
    answer = handler.handle(event, None)
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])["choices"][0]["message"]["content"]
    assert handler.handle({**event, "headers": {}}, None)["statusCode"] == 401
    assert handler.handle({**event, "body": "no json"}, None)["statusCode"] == 400
    assert handler.handle({**event, "body": json.dumps({"model": "fast"})}, None)["statusCode"] == 400
