"""What the controller wants, in documents that AWS's own models and Prometheus' parser accept."""

import botocore.session
import botocore.validate
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hapenny.capacity import signals
from hapenny.capacity.autoscaler import Wanted

WANTED = Wanted(servers=7, work_per_s=12_000.0, headroom=1.2, waiting_s=0.5, why="")


@pytest.mark.parametrize("least", [0, 2])
@pytest.mark.parametrize("make", [lambda **k: signals.sagemaker("chat", **k), lambda **k: signals.ecs("c", "s", **k)])
def test_application_auto_scaling_takes_the_documents(make, least):
    service = botocore.session.get_session().get_service_model("application-autoscaling")
    calls = make(least=least, most=9)
    action = signals.scheduled(calls, "0 8 * * ? *", 3, "Asia/Tokyo")
    for name, arguments in [*calls, ("PutScheduledAction", action)]:
        shape = service.operation_model(name).input_shape
        assert not botocore.validate.ParamValidator().validate(arguments, shape).generate_report()
        for field in ("ServiceNamespace", "ScalableDimension"):
            assert arguments[field] in shape.members[field].enum
    assert calls[0][1]["MinCapacity"] == least
    # Nobody tracks a target from zero: a step has to wake it.
    assert any(each.get("PolicyType") == "StepScaling" for _, each in calls) is (least == 0)


def test_prometheus_reads_the_metrics():
    families = {each.name: each for each in text_string_to_metric_families(signals.prometheus(WANTED, 'a "model"'))}
    assert families["hapenny_wanted_servers"].samples[0].value == 7
    assert families["hapenny_wanted_servers"].samples[0].labels == {"model": 'a "model"'}
    assert families["hapenny_capacity_headroom_ratio"].samples[0].value == 1.2


def test_keda_asks_where_it_is_told():
    document = signals.keda("tokens", "vllm", "http://there/servers", least=1, most=5)
    (trigger,) = document["spec"]["triggers"]
    assert trigger["metadata"] == {"targetValue": "1", "url": "http://there/servers", "valueLocation": "servers"}
    assert (document["spec"]["minReplicaCount"], document["spec"]["maxReplicaCount"]) == (1, 5)
