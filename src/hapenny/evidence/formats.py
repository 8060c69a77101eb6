"""Shapes of other tools: CloudWatch metrics per arm, SageMaker experiment runs.

CloudWatch `PutMetricData`, SageMaker `CreateTrialComponent` and SageMaker Metrics `BatchPutMetrics`: request bodies,
checked in the tests against botocore's service models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hapenny.evidence.analysis import Analysis, Unit


def cloudwatch(
    experiment: str, units: Sequence[Unit], wall: float, namespace: str = "hapenny/experiments"
) -> dict[str, Any]:
    """A `PutMetricData` request: count, sum, least and most of each metric, by experiment and arm."""
    when = datetime.fromtimestamp(wall, UTC)
    data = []
    for arm in sorted({unit.arm for unit in units}):
        for metric in sorted({name for unit in units if unit.arm == arm for name in unit.metrics}):
            values = [unit.metrics[metric] for unit in units if unit.arm == arm and metric in unit.metrics]
            data.append(
                {
                    "MetricName": metric,
                    "Dimensions": [{"Name": "Experiment", "Value": experiment}, {"Name": "Arm", "Value": arm}],
                    "Timestamp": when,
                    "StatisticValues": {
                        "SampleCount": float(len(values)),
                        "Sum": float(sum(values)),
                        "Minimum": float(min(values)),
                        "Maximum": float(max(values)),
                    },
                    "Unit": "Seconds" if metric in ("ttft", "e2e") else "None",
                }
            )
    return {"Namespace": namespace, "MetricData": data}


def sagemaker(
    experiment: str, analysis: Analysis, parameters: Mapping[str, Mapping[str, Any]], wall: float
) -> list[dict[str, Any]]:
    """One run an arm: the `CreateTrialComponent` and `BatchPutMetrics` requests, under `component` and `metrics`."""
    when = datetime.fromtimestamp(wall, UTC)
    runs = []
    for arm in analysis.counts:
        name = f"{experiment}-{arm}".replace("_", "-")[:120]
        values: dict[str, float] = {"units": float(analysis.counts[arm])}
        for one in (*analysis.effects, *analysis.secondary, *(check.effect for check in analysis.guardrails)):
            if arm == one.arm:
                values |= {one.metric: one.arm_mean, f"{one.metric}_difference": one.difference}
            elif arm not in {e.arm for e in analysis.effects}:
                values[one.metric] = one.control_mean
        settings = {
            key: {"NumberValue": float(value)} if isinstance(value, int | float) else {"StringValue": str(value)}
            for key, value in parameters.get(arm, {}).items()
        }
        runs.append(
            {
                "component": {
                    "TrialComponentName": name,
                    "DisplayName": arm,
                    "Status": {"PrimaryStatus": "InProgress"},
                    "StartTime": when,
                    "Parameters": settings,
                },
                "metrics": {
                    "TrialComponentName": name,
                    "MetricData": [
                        {"MetricName": key, "Timestamp": when, "Step": 0, "Value": value}
                        for key, value in sorted(values.items())
                    ],
                },
            }
        )
    return runs
