"""The chart renders, and what it renders is what Kubernetes takes."""

from pathlib import Path

import pytest
import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "hapenny"
VALUES = {
    "as it is": {},
    "by tokens": {"autoscaling": {"enabled": True, "kind": "keda"}, "secret": "keys", "storage": {"enabled": False}},
    "by processor": {"autoscaling": {"enabled": True, "kind": "hpa"}},
    "an account that is there": {"serviceAccount": {"create": False, "name": "mine"}},
    "watched": {"monitoring": {"serviceMonitor": True, "tokenSecret": "t"}, "networkPolicy": {"from": [{"team": "a"}]}},
}


def rendered(values):
    helm = pytest.importorskip("helm_python", reason="not run: the group `deploy` is not installed")
    chart = helm.Chart.load(str(CHART))
    texts = chart.render(values, name="edge", namespace="ai")
    return [document for text in texts.values() for document in yaml.safe_load_all(text) if document]


@pytest.mark.long
@pytest.mark.parametrize("version", ["1.30", "1.34"])
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_what_is_rendered_is_valid(values, version):
    validate = pytest.importorskip("kubernetes_validate", reason="not run: the group `deploy` is not installed")
    kinds = set()
    for document in rendered(values):
        kinds.add(document["kind"])
        if "." in document["apiVersion"].split("/")[0] and not document["apiVersion"].split("/")[0].endswith("k8s.io"):
            continue  # a resource of somebody else's: no schema of Kubernetes' own
        validate.validate(document, version, strict=True)
    assert {"StatefulSet", "Service", "ConfigMap", "PodDisruptionBudget", "NetworkPolicy"} <= kinds


@pytest.mark.long
def test_pods_are_not_root_and_write_nowhere_but_where_they_must():
    workload = next(each for each in rendered({}) if each["kind"] == "StatefulSet")
    pod = workload["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/lib/hapenny", "/tmp"}


@pytest.mark.long
def test_one_thing_decides_how_many_pods_there_are():
    for values in VALUES.values():
        workload = next(each for each in rendered(values) if each["kind"] == "StatefulSet")
        assert ("replicas" in workload["spec"]) != bool(values.get("autoscaling"))


def policy(values):
    return next(each for each in rendered(values) if each["kind"] == "NetworkPolicy")["spec"]


@pytest.mark.long
def test_who_may_read_metrics_shuts_no_caller_out():
    monitoring, team = {"name": "monitoring"}, {"team": "a"}
    assert "from" not in policy({"networkPolicy": {"metricsFrom": [monitoring]}})["ingress"][0]
    both = policy({"networkPolicy": {"from": [team], "metricsFrom": [monitoring]}})["ingress"][0]["from"]
    assert [each["namespaceSelector"]["matchLabels"] for each in both] == [team, monitoring]


@pytest.mark.long
def test_the_stores_of_the_configuration_can_be_reached():
    def ports(values):
        return {port["port"] for rule in policy(values)["egress"] for port in rule["ports"]}

    assert ports({}) == {53, 443}
    shared = {"shared": "redis://cache:6379/0", "ledger": {"path": "postgresql://${DB}@db/hapenny"}}
    assert ports({"config": shared}) == {53, 443, 6379, 5432}
    named = [{"ports": [{"port": 6380}]}]
    assert ports({"config": shared, "networkPolicy": {"egress": named}}) == {53, 6380}


@pytest.mark.long
def test_monitoring_reads_each_pod_once():
    documents = rendered(VALUES["watched"])
    (monitor,) = [each for each in documents if each["kind"] == "ServiceMonitor"]
    selector = monitor["spec"]["selector"]
    (rule,) = selector["matchExpressions"]
    assert rule["operator"] == "DoesNotExist"
    read = [
        each["metadata"]["name"]
        for each in documents
        if each["kind"] == "Service"
        and selector["matchLabels"].items() <= each["metadata"]["labels"].items()
        and rule["key"] not in each["metadata"]["labels"]
    ]
    assert len(read) == 1
