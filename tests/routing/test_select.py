"""Our decision alone: function, HTTP body, and the three examples."""

import importlib.util
import sys
from pathlib import Path

import botocore.session
import pytest
from botocore.validate import ParamValidator

from hapenny.routing.router import Router
from hapenny.routing.select import Question, select, select_json

EXAMPLES = Path(__file__).parents[2] / "examples" / "select"
HARD = "If f(x) = (x^2 - 4) / (x - 2) and g(y) = [y + 1] * {3}, find f(g(2)); " * 12


def load(name, monkeypatch):
    monkeypatch.delenv("HAPENNY_ROUTER", raising=False)
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_function():
    models = {"fast": "small", "strong": "large"}
    assert select("hi", Router(), models).model == "small"
    assert select(Question(text=HARD), Router(), models).model == "large"
    assert select("hi", Router()).model is None


def test_over_http():
    assert select_json(b'{"text": "hi", "intent": "expert_reasoning"}', Router())["tier"] == "max"
    for body in (b"{}", b'{"text": 3}', b'{"text": "a", "extra": 1}', b"nonsense"):
        with pytest.raises(ValueError, match="Fix"):
            select_json(body, Router())


def test_lambda(monkeypatch):
    handler = load("lambda_function", monkeypatch).handler
    assert handler({"text": "hi"}, None)["tier"] == "fast"
    assert "sonnet" in handler({"text": HARD}, None)["modelId"]


def test_prompt_flow(monkeypatch):
    module = load("prompt_flow", monkeypatch)
    event = {"node": {"name": "route", "inputs": [{"name": "text", "type": "STRING", "value": HARD}]}}
    tier = module.handler(event, None)["tier"]
    assert tier == "strong"
    assert 'tier == "fast"' in str(module.CONDITION)


def test_the_flow_is_one_that_createflow_takes(monkeypatch):
    arn = "arn:aws:lambda:us-east-1:123456789012:function:tier"
    flow = load("prompt_flow", monkeypatch).definition(arn, "amazon.nova-lite-v1:0", "amazon.nova-pro-v1:0")
    shape = botocore.session.get_session().get_service_model("bedrock-agent").operation_model("CreateFlow").input_shape
    body = {"name": "tiers", "executionRoleArn": "arn:aws:iam::123456789012:role/flow", "definition": flow}
    report = ParamValidator().validate(body, shape)
    assert not report.has_errors(), report.generate_report()
    nodes = {node["name"]: node for node in flow["nodes"]}
    reached = {"question"}
    for connection in flow["connections"]:
        source, target = nodes[connection["source"]], nodes[connection["target"]]
        how = connection["configuration"]
        if connection["type"] == "Data":
            assert how["data"]["sourceOutput"] in [output["name"] for output in source["outputs"]]
            assert how["data"]["targetInput"] in [input["name"] for input in target["inputs"]]
        else:
            conditions = source["configuration"]["condition"]["conditions"]
            assert how["conditional"]["condition"] in [condition["name"] for condition in conditions]
        reached.add(connection["target"])
    assert reached == set(nodes)


def test_strands_tool(monkeypatch):
    choose = load("strands_tool", monkeypatch).choose_model
    assert choose("Summarise this", intent="summarization")["tier"] == "fast"
