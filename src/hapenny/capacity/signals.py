"""The scaling controller's wants in the words of what scales: Prometheus, KEDA, Application Auto Scaling.

Documents are made of names alone; nothing is applied. Application Auto Scaling knows no metric of tokens, so the
controller's own metric is followed (`CustomizedMetricSpecification`), once whoever runs the controller publishes it.
"""

from __future__ import annotations

from typing import Any

from hapenny.capacity.autoscaler import Wanted

METRIC = "hapenny_wanted_servers"
NAMESPACE = "Hapenny"
DRAIN_S = 300


def prometheus(wanted: Wanted, model: str) -> str:
    """The wants as metrics in Prometheus' text format."""
    label = '{model="' + model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"}'
    figures = {
        METRIC: ("Servers the scaling controller wants.", wanted.servers),
        "hapenny_work_tokens_per_second": ("Weighted tokens a second that arrive.", round(wanted.work_per_s, 1)),
        "hapenny_capacity_headroom_ratio": ("What the wanted servers carry, against that.", round(wanted.headroom, 4)),
        "hapenny_waiting_seconds": ("Seconds of all servers' work that wait inside.", round(wanted.waiting_s, 3)),
    }
    return "".join(
        f"# HELP {name} {text}\n# TYPE {name} gauge\n{name}{label} {value}\n" for name, (text, value) in figures.items()
    )


def keda(name: str, deployment: str, url: str, *, least: int = 0, most: int = 64) -> dict[str, Any]:
    """A KEDA `ScaledObject` that reads the wants by the metrics-api scaler; `url` answers `{"servers": N}`.

    The controller holds servers by itself, so that Kubernetes' own stabilisation is off.
    """
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"name": deployment},
            "minReplicaCount": least,
            "maxReplicaCount": most,
            "pollingInterval": 10,
            "cooldownPeriod": DRAIN_S,
            "advanced": {
                "horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}
            },
            "triggers": [
                {
                    "type": "metrics-api",
                    "metricType": "AverageValue",
                    "metadata": {"targetValue": "1", "url": url, "valueLocation": "servers"},
                }
            ],
        },
    }


def sagemaker(component: str, *, least: int = 0, most: int = 64) -> list[tuple[str, dict[str, Any]]]:
    """Calls of Application Auto Scaling for a SageMaker inference component, by name: target, policy, and, where it may
    go to zero, the step that wakes it. Calls meanwhile fail at SageMaker for minutes: the gateway has to hold or spill
    them."""
    return _follow("sagemaker", f"inference-component/{component}", "sagemaker:inference-component:DesiredCopyCount",
                   component, least, most)  # fmt: skip


def ecs(cluster: str, service: str, *, least: int = 1, most: int = 64) -> list[tuple[str, dict[str, Any]]]:
    """The same for a service of ECS."""
    return _follow("ecs", f"service/{cluster}/{service}", "ecs:service:DesiredCount", service, least, most)


def scheduled(calls: list[tuple[str, dict[str, Any]]], cron: str, least: int, zone: str = "UTC") -> dict[str, Any]:
    """`PutScheduledAction`: from the time that `cron` says no fewer than `least`, as a day before has needed."""
    target = calls[0][1]
    return {
        "ServiceNamespace": target["ServiceNamespace"],
        "ScheduledActionName": f"at-least-{least}",
        "ResourceId": target["ResourceId"],
        "ScalableDimension": target["ScalableDimension"],
        "Schedule": f"cron({cron})",
        "Timezone": zone,
        "ScalableTargetAction": {"MinCapacity": least},
    }


def _follow(
    namespace: str, resource: str, dimension: str, name: str, least: int, most: int
) -> list[tuple[str, dict[str, Any]]]:
    where = {"ServiceNamespace": namespace, "ResourceId": resource, "ScalableDimension": dimension}
    dimensions = [{"Name": "Target", "Value": name}]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("RegisterScalableTarget", {**where, "MinCapacity": least, "MaxCapacity": most}),
        (
            "PutScalingPolicy",
            {
                **where,
                "PolicyName": f"{name}-tokens",
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": {
                    # Wanted servers over those that run: 1 is as many as are wanted.
                    "TargetValue": 1.0,
                    "CustomizedMetricSpecification": {
                        "MetricName": "WantedPerServer",
                        "Namespace": NAMESPACE,
                        "Dimensions": dimensions,
                        "Statistic": "Maximum",
                    },
                    "ScaleOutCooldown": 0,
                    "ScaleInCooldown": DRAIN_S,
                },
            },
        ),
    ]
    if least == 0:
        calls.append(
            (
                "PutScalingPolicy",
                {
                    **where,
                    "PolicyName": f"{name}-wake",
                    "PolicyType": "StepScaling",
                    "StepScalingPolicyConfiguration": {
                        "AdjustmentType": "ExactCapacity",
                        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
                        "MetricAggregationType": "Maximum",
                        "Cooldown": 60,
                    },
                },
            )
        )
    return calls
