"""Shapes of other tools: Bedrock Evaluations JSON lines, CloudWatch metrics per arm, SageMaker experiment runs.

Bedrock: model-evaluation prompt datasets with responses one brought along, and the result records of such jobs.
CloudWatch `PutMetricData`, SageMaker `CreateTrialComponent` and SageMaker Metrics `BatchPutMetrics`: request bodies,
checked in the tests against botocore's service models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from hapenny.evidence.analysis import Analysis, Unit


class Evaluated(Struct, kw_only=True, frozen=True):
    """One prompt with one model's answer; `scores` by metric name once it was evaluated."""

    prompt: str
    model: str = ""
    response: str = ""
    reference: str | None = None
    category: str | None = None
    scores: dict[str, float] = {}


def to_bedrock(rows: Iterable[Evaluated]) -> Iterator[bytes]:
    """Lines of a Bedrock evaluation dataset, one model's response each."""
    for row in rows:
        line: dict[str, Any] = {"prompt": row.prompt}
        if row.reference is not None:
            line["referenceResponse"] = row.reference
        if row.category is not None:
            line["category"] = row.category
        if row.model:
            line["modelResponses"] = [{"response": row.response, "modelIdentifier": row.model}]
        yield msgspec.json.encode(line) + b"\n"


def from_bedrock(lines: Iterable[bytes]) -> Iterator[Evaluated]:
    """Reads datasets and result files (`automatedEvaluationResult`, `inputRecord`, `modelResponses`) alike."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = msgspec.json.decode(line)
            record = value.get("inputRecord", value)
            result = value.get("automatedEvaluationResult") or {}
            scores = {
                one["metricName"]: float(one["result"])
                for one in result.get("scores", ())
                if one.get("result") is not None
            }
            answers = value.get("modelResponses") or record.get("modelResponses") or [{}]
            for answer in answers:
                yield Evaluated(
                    prompt=record["prompt"],
                    model=answer.get("modelIdentifier", ""),
                    response=answer.get("response", ""),
                    reference=record.get("referenceResponse"),
                    category=record.get("category"),
                    scores=scores,
                )
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"line {number} is no Bedrock evaluation record: {error!r}") from None


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
