"""The CDK app synthesizes without an account, and CloudFormation takes what it makes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "deploy" / "cdk"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    pytest.importorskip("aws_cdk", reason="not run: the group `deploy` is not installed")
    if shutil.which("node") is None:
        pytest.skip("not run: no node here")
    out = tmp_path_factory.mktemp("cdk")
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=APP,
        env={**os.environ, "CDK_OUTDIR": str(out)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return out / "hapenny.template.json"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_cloudformation_takes_it(template):
    # W3005: what the construct of the load balanced service says twice.
    lint = subprocess.run(
        [sys.executable, "-m", "cfnlint", "-i", "W3005", "--", str(template)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert lint.returncode == 0, lint.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_nothing_lies_open_and_stores_speak_tls(template):
    resources = json.loads(template.read_text())["Resources"]
    kinds = {each["Type"] for each in resources.values()}
    assert {
        "AWS::ECS::Service",
        "AWS::ElastiCache::ReplicationGroup",
        "AWS::RDS::DBCluster",
        "AWS::DynamoDB::GlobalTable",
        "AWS::Bedrock::Guardrail",
        "AWS::OpenSearchServerless::Collection",
        "AWS::CloudFront::Distribution",
        "AWS::ApiGatewayV2::Api",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
    } <= kinds
    (valkey,) = [each for each in resources.values() if each["Type"] == "AWS::ElastiCache::ReplicationGroup"]
    assert valkey["Properties"]["TransitEncryptionEnabled"]
    assert valkey["Properties"]["AtRestEncryptionEnabled"]
    (balancer,) = [each for each in resources.values() if each["Type"] == "AWS::ElasticLoadBalancingV2::LoadBalancer"]
    assert balancer["Properties"]["Scheme"] == "internal"
    for each in resources.values():
        if each["Type"] == "AWS::IAM::Policy":
            for statement in each["Properties"]["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                assert "*" not in (actions if isinstance(actions, list) else [actions])
