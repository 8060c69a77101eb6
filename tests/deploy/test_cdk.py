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
@pytest.mark.parametrize("stack", ["hapenny", "hapenny-models"])
def test_cloudformation_takes_it(template, stack):
    # W3005: what the construct of the load balanced service says twice.
    lint = subprocess.run(
        [
            str(Path(sys.executable).with_name("cfn-lint")),
            "-i",
            "W3005",
            "--",
            str(template.with_name(f"{stack}.template.json")),
        ],
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


@pytest.mark.long
@pytest.mark.timeout(300)
def test_models_have_their_time_limits_and_an_instance_by_their_size(template):
    resources = json.loads(template.with_name("hapenny-models.template.json").read_text())["Resources"].values()
    variants = {
        each["Properties"]["EndpointConfigName"]: each["Properties"]["ProductionVariants"][0]
        for each in resources
        if each["Type"] == "AWS::SageMaker::EndpointConfig"
    }
    for variant in variants.values():
        assert variant["ModelDataDownloadTimeoutInSeconds"] == 3600
        assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 600
    assert {name: variant["InstanceType"] for name, variant in variants.items()} == {
        "hapenny-chat-8b": "ml.g5.2xlarge",
        "hapenny-chat-8b-trt": "ml.g5.2xlarge",
        "hapenny-chat-70b": "ml.g6e.12xlarge",
        "hapenny-ranker": "ml.g5.2xlarge",
        "hapenny-entities": "ml.m5.4xlarge",
    }
    (endpoint,) = [each for each in resources if each["Type"] == "AWS::SageMaker::Endpoint"]
    assert endpoint["Properties"]["EndpointName"] == "hapenny-entities"
    for each in resources:
        if each["Type"] == "AWS::SageMaker::Model":
            assert each["Properties"]["EnableNetworkIsolation"]


@pytest.mark.long
def test_machines_are_those_that_sagemaker_has(monkeypatch):
    pytest.importorskip("aws_cdk", reason="not run: the group `deploy` is not installed")
    botocore = pytest.importorskip("botocore.session")
    monkeypatch.syspath_prepend(str(APP))
    import models

    service = botocore.get_session().get_service_model("sagemaker")
    known = set(service.shape_for("ProductionVariantInstanceType").enum)
    assert {each.name for each in (models.CPU, *models.MACHINES)} <= known
    with pytest.raises(ValueError, match="do not fit"):
        models.machine(models.Described("huge", "vllm", "w/", 2_000))
