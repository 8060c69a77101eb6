"""Experiments' results go to CloudWatch and SageMaker, and can be sent again."""

import pytest

from hapenny.cli.sending import send_metrics, send_runs
from hapenny.evidence import formats
from hapenny.evidence.analysis import Unit, analyse

moto = pytest.importorskip("moto", reason="not run: moto is not installed")


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        yield


def units():
    return [
        Unit(arm=("control", "brief")[number % 2], metrics={"cost": 1.0 + number % 3, "ttft": 0.5, "e2e": 1.0})
        for number in range(60)
    ]


def test_metrics_of_each_arm_arrive(aws):
    import boto3

    said = send_metrics(formats.cloudwatch("shorter", units(), 1_796_000_000.0), "us-east-1")
    assert said == "CloudWatch: 6 metrics in hapenny/experiments (us-east-1)"
    kept = boto3.client("cloudwatch", region_name="us-east-1").list_metrics(Namespace="hapenny/experiments")["Metrics"]
    assert {each["MetricName"] for each in kept} == {"cost", "ttft", "e2e"}
    assert {"Name": "Experiment", "Value": "shorter"} in kept[0]["Dimensions"]


def test_runs_arrive_and_may_be_sent_again(aws):
    import boto3

    found = analyse(units(), {"control": 0.5, "brief": 0.5}, metric="cost", better="lower", horizon=100)
    runs = formats.sagemaker("shorter_answers", found, {"brief": {"max_tokens": 80}}, 1_796_000_000.0)
    for _ in range(2):
        said = send_runs(runs, "shorter_answers", "us-east-1")
        assert said == "SageMaker: 2 runs of the experiment shorter-answers (us-east-1)"
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    components = sagemaker.list_trial_components(TrialName="shorter-answers")["TrialComponentSummaries"]
    assert {each["TrialComponentName"] for each in components} == {"shorter-answers-control", "shorter-answers-brief"}
