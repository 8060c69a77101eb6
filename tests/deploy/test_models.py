"""The function that loads and unloads models of SageMaker, against moto's SageMaker, S3 and CloudWatch."""

import importlib.util
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

moto = pytest.importorskip("moto", reason="not run: moto is not installed")
FILE = Path(__file__).parents[2] / "deploy" / "lambda" / "models.py"


@pytest.fixture
def handle(monkeypatch):
    """The handler, with an endpoint configuration for the model `chat`."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("BUCKET", "weights")
    spec = importlib.util.spec_from_file_location("models_function", FILE)
    module = importlib.util.module_from_spec(spec)
    with moto.mock_aws():
        import boto3

        boto3.client("s3").create_bucket(Bucket="weights")
        sagemaker = boto3.client("sagemaker")
        sagemaker.create_model(
            ModelName="chat", ExecutionRoleArn="arn:aws:iam::123456789012:role/m", PrimaryContainer={"Image": "i"}
        )
        variant = {"VariantName": "only", "ModelName": "chat", "InstanceType": "ml.g4dn.xlarge"}
        variant |= {"InitialInstanceCount": 1, "InitialVariantWeight": 1.0}
        sagemaker.create_endpoint_config(EndpointConfigName="hapenny-chat", ProductionVariants=[variant])
        spec.loader.exec_module(module)
        yield lambda action, name="chat", **more: module.handle({"action": action, "name": name, **more}, None)


def used(times):
    import boto3

    boto3.client("cloudwatch").put_metric_data(
        Namespace="AWS/SageMaker",
        MetricData=[
            {
                "MetricName": "Invocations",
                "Dimensions": [
                    {"Name": "EndpointName", "Value": "hapenny-chat"},
                    {"Name": "VariantName", "Value": "only"},
                ],
                "Timestamp": datetime.now(UTC) - timedelta(minutes=2),
                "Value": times,
            }
        ],
    )


def test_a_model_is_registered_loaded_warmed_drained_and_unloaded(handle):
    assert handle("register") == {"name": "chat", "state": "registered", "endpoint": None}
    assert handle("warm")["warm"] is False, "there is nothing to warm yet"
    assert handle("load") == {"name": "chat", "state": "wanted", "endpoint": "InService"}
    assert handle("warm")["warm"] is True
    assert handle("drain")["state"] == "draining"
    assert handle("unload") == {"name": "chat", "state": "registered", "endpoint": None}
    assert handle("load")["endpoint"] == "InService", "what is needed for it was kept"


@pytest.mark.parametrize("action", ["register", "load", "drain", "unload"])
def test_every_action_may_be_repeated(handle, action):
    handle("register")
    if action == "drain":
        handle("load")
    assert handle(action) == handle(action)


def test_a_model_in_use_stays_unless_it_is_forced(handle):
    handle("register")
    handle("load")
    used(5)
    assert "5 requests" in handle("unload")["refused"]
    assert handle("status")["endpoint"] == "InService"
    assert handle("unload", force=True)["endpoint"] is None


def test_a_sweep_unloads_what_is_idle_and_was_loaded_a_while_ago(handle):
    handle("register")
    handle("load")
    assert handle("sweep") == {"unloaded": []}, "it was only just loaded"
    assert handle("sweep", idle_minutes=0) == {"unloaded": ["chat"]}
    assert handle("status")["endpoint"] is None


@pytest.mark.parametrize(
    ("action", "name", "why"),
    [
        ("load", "chat", "not registered"),
        ("register", "other", "no endpoint configuration"),
        ("register", "../x", "letters, digits and dashes"),
        ("explode", "chat", "action:"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(handle, action, name, why):
    assert why in handle(action, name)["refused"]


def test_the_example_describes_every_engine_and_the_machines_exist():
    described = json.loads((FILE.parents[1] / "cdk" / "models.json").read_text())
    assert {each["engine"] for each in described} == {"djl", "vllm", "triton", "tensorrt-llm"}
