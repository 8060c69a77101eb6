"""Writes experiments' results to CloudWatch and SageMaker, by boto3."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import click

_DATA = 1_000
"""Metrics that CloudWatch takes in one request."""
_POINTS = 10
"""Points that SageMaker takes in one request."""


def client(service: str, region: str) -> Any:
    """A client of boto3. Raises `ClickException` with the fix where there is no boto3."""
    try:
        import boto3
    except ImportError:
        raise click.ClickException(f"{service} is asked by boto3. Fix: pip install 'hapenny[aws]'") from None
    return boto3.client(service, region_name=region)


@contextlib.contextmanager
def told(service: str, rights: str) -> Any:
    """What AWS refuses, as one line with the rights it takes."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(f"{service}: {error}. Fix: credentials with {rights}") from None


def send_metrics(request: Mapping[str, Any], region: str) -> str:
    """Writes a `PutMetricData` request; says what was written."""
    cloudwatch, data = client("cloudwatch", region), request["MetricData"]
    with told("CloudWatch", "cloudwatch:PutMetricData"):
        for start in range(0, len(data), _DATA):
            cloudwatch.put_metric_data(Namespace=request["Namespace"], MetricData=data[start : start + _DATA])
    return f"CloudWatch: {len(data)} metrics in {request['Namespace']} ({region})"


def send_runs(runs: Sequence[Mapping[str, Any]], experiment: str, region: str) -> str:
    """Writes one run an arm, all in a trial of the experiment; a run that is there is brought up to date."""
    sagemaker, metrics = client("sagemaker", region), client("sagemaker-metrics", region)
    name = experiment.replace("_", "-")[:120]
    rights = "sagemaker:CreateExperiment, CreateTrial, CreateTrialComponent, AssociateTrialComponent, BatchPutMetrics"
    with told("SageMaker", rights):
        _made(sagemaker.create_experiment, ExperimentName=name)
        _made(sagemaker.create_trial, TrialName=name, ExperimentName=name)
        for run in runs:
            component = run["component"]
            if not _made(sagemaker.create_trial_component, **component):
                sagemaker.update_trial_component(
                    TrialComponentName=component["TrialComponentName"], Status=component["Status"],
                    Parameters=component["Parameters"],
                )  # fmt: skip
            _made(
                sagemaker.associate_trial_component, TrialComponentName=component["TrialComponentName"], TrialName=name
            )
            points = run["metrics"]["MetricData"]
            for start in range(0, len(points), _POINTS):
                metrics.batch_put_metrics(
                    TrialComponentName=component["TrialComponentName"], MetricData=points[start : start + _POINTS]
                )
    return f"SageMaker: {len(runs)} runs of the experiment {name} ({region})"


def _made(create: Any, **request: Any) -> bool:
    """Whether it was made; False: it is there already."""
    from botocore.exceptions import ClientError

    try:
        create(**request)
    except ClientError as error:
        told_of = error.response.get("Error", {})
        there = "already exist" in str(told_of.get("Message", "")).lower() or (told_of.get("Code") in (
            "ResourceInUse", "ValidationException",
        ) and "exist" in str(told_of.get("Message", "")).lower())  # fmt: skip
        if not there:
            raise
        return False
    return True
