"""What operators deploy says what the gateway really has: its metrics, its options, the provider's actions."""

import json
import re
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
        text += "tiers: {fast: gpt-4o-mini, strong: gpt-4o}"
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


def test_the_charts_own_configuration_is_one():
    values = yaml.safe_load((DEPLOY / "helm" / "hapenny" / "values.yaml").read_text())
    config = load(text=json.dumps(values["config"]))
    assert values["terminationGracePeriodSeconds"] > config.server.drain_s + 5
    assert config.server.port == values["service"]["port"]


def test_the_unit_gives_streams_their_time():
    unit = (DEPLOY / "systemd" / "hapenny.service").read_text()
    assert int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]) > load(text="ledger: null").server.drain_s
    assert "ExecStart=/opt/hapenny/bin/hapenny serve" in unit


def test_the_policy_names_actions_that_aws_has():
    botocore = pytest.importorskip("botocore.session")
    session = botocore.get_session()
    known = set()
    for prefix, service in (
        ("bedrock", "bedrock"),
        ("bedrock", "bedrock-runtime"),
        ("servicequotas", "service-quotas"),
    ):
        known |= {f"{prefix}:{name}" for name in session.get_service_model(service).operation_names}
    known |= {"s3:GetObject", "s3:PutObject"}
    policy = json.loads((DEPLOY / "iam" / "policy.json").read_text())
    for statement in policy["Statement"]:
        assert set(statement["Action"]) <= known
        assert statement["Resource"] != "*" or all(
            action.split(":")[1].startswith(("Get", "List")) for action in statement["Action"]
        )
